"""What the OpenAPI document cannot say to schemathesis.

Faulty events of a batch are answered one by one, under a 200. Endpoints that it makes up are moved to the local receiver, so that nothing leaves this machine. Page tokens that it
makes up are left out: they are well-formed, but no list ever gave them.
"""

from __future__ import annotations

import os
import re

import schemathesis

BATCH = "application/cloudevents-batch+json"
# Only what the schemas allow is changed, so that faulty values stay faulty.
PAGE_TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,1024}$")
ALLOWED = re.compile(r"^https?://[^\x00-\x20\x7f-\x9f]+$", re.IGNORECASE)


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("url"), str) and ALLOWED.match(body["url"]):
        case.body = body | {"url": os.environ["RECEIVER_URL"]}
    for part in (case.query, body):
        token = part.get("page_token") if isinstance(part, dict) else None
        if isinstance(token, str) and PAGE_TOKEN.match(token):
            del part["page_token"]


@schemathesis.hook
def filter_case(context, case) -> bool:
    is_faulty = case.meta is not None and case.meta.generation.mode.is_negative
    return not (is_faulty and case.media_type == BATCH and isinstance(case.body, list))

"""What the OpenAPI document cannot say to schemathesis.

Faulty events and positions of a batch are answered one by one, under a 200. What the app OwnTracks sends besides places, whatever it
is, is taken and dropped: refused, it would be sent again and again. Endpoints that it makes up are moved to the local receiver, so
that nothing leaves this machine. Page tokens that it makes up are left out: they are well-formed, but no list ever gave them.
Idempotency keys that it makes up are made different: under one that was used before, a call is answered as the first one was,
rightly also when what that made is deleted by now.
"""

from __future__ import annotations

import itertools
import os
import re

import schemathesis

BATCH = "application/cloudevents-batch+json"
# Only what the schemas allow is changed, so that faulty values stay faulty.
PAGE_TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,1024}$")
KEY = re.compile(r"^[!-~]{1,200}$")
N_KEYS = itertools.count()
ALLOWED = re.compile(r"^https?://[^\x00-\x20\x7f-\x9f]+$", re.IGNORECASE)


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("url"), str) and ALLOWED.match(body["url"]):
        case.body = body | {"url": os.environ["RECEIVER_URL"]}
    # A faulty request makes nothing, and schemathesis takes one that was changed for a sound one.
    is_sound = case.meta is None or not case.meta.generation.mode.is_negative
    for name, value in (case.headers or {}).items() if is_sound else ():
        if name.lower() == "idempotency-key" and isinstance(value, str) and KEY.match(value):
            case.headers[name] = f"{value}.{next(N_KEYS)}"
    for part in (case.query, body):
        token = part.get("page_token") if isinstance(part, dict) else None
        if isinstance(token, str) and PAGE_TOKEN.match(token):
            del part["page_token"]


@schemathesis.hook
def filter_case(context, case) -> bool:
    is_faulty = case.meta is not None and case.meta.generation.mode.is_negative
    is_batch = case.media_type == BATCH or case.operation.path.endswith("/positions")
    is_let_pass = is_batch and isinstance(case.body, list) or case.operation.path.endswith("/owntracks")
    return not (is_faulty and is_let_pass)

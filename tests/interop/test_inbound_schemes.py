"""Calls signed by the providers' official libraries, posted to a hub; and what those libraries say of the same calls.

The libraries of Twilio, Stripe and Svix sign; Slack's has a function that makes the signature which it verifies by. Each call
must be believed as it is, refused when a byte is changed, and recognised when it comes again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from urllib.parse import urlencode

import pytest
import requests
import slack_sdk.signature
import stripe
import svix.webhooks
import twilio.request_validator

from hub import Hub, running_hub

SVIX_SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
SECRET = "a-secret-as-text-0123456789"
PUBLIC_URL = "https://hub.example.com/in/twilio"

CONFIG = f"""
[[sources]]
name = "svix"
scheme = "svix"
secret = "env:SVIX_SECRET"

[[sources]]
name = "stripe"
scheme = "stripe"
secret = "env:TEXT_SECRET"

[[sources]]
name = "slack"
scheme = "slack"
secret = "env:TEXT_SECRET"

[[sources]]
name = "twilio"
scheme = "twilio"
secret = "env:TEXT_SECRET"
public_url = "{PUBLIC_URL}"
"""


@pytest.fixture(scope="module")
def receiving_hub() -> Iterator[Hub]:
    with running_hub(CONFIG, {"SVIX_SECRET": SVIX_SECRET, "TEXT_SECRET": SECRET}) as hub:
        yield hub


def post(hub: Hub, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(hub.url + path, data=body, headers=headers, timeout=20)


def events(hub: Hub, event_type: str) -> list[dict]:
    answer = hub.call("GET", "/api/v1/events", params={"type": event_type, "limit": 100})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def check(hub: Hub, path: str, body: bytes, headers: dict[str, str], expect: tuple[int, str], altered: bytes) -> None:
    """Sends a call twice and a changed one once: one event of the expected type."""
    status, event_type = expect
    n_before = len(events(hub, event_type))
    first, second = post(hub, path, body, headers), post(hub, path, body, headers)
    assert (first.status_code, second.status_code) == (status, status), first.text
    assert first.content == second.content
    assert post(hub, path, altered, headers).status_code == 401
    assert len(events(hub, event_type)) == n_before + 1


def test_svix(receiving_hub: Hub) -> None:
    body = json.dumps({"type": "svix.sent", "data": {"name": "Zoë"}}).encode()
    message, now = f"msg_{uuid.uuid4().hex}", datetime.now(tz=timezone.utc)
    signature = svix.webhooks.Webhook(SVIX_SECRET).sign(message, now, body.decode())
    headers = {
        "content-type": "application/json",
        "svix-id": message,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": signature,
    }
    svix.webhooks.Webhook(SVIX_SECRET).verify(body, headers)
    check(receiving_hub, "/in/svix", body, headers, (202, "svix.sent"), body.replace(b"sent", b"bent"))


def test_stripe(receiving_hub: Hub) -> None:
    body = json.dumps({"id": f"evt_{uuid.uuid4().hex}", "object": "event", "type": "invoice.paid"}).encode()
    now = int(time.time())
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{body.decode()}", SECRET)
    headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature},v0=00"}
    stripe.WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], SECRET, tolerance=300)
    check(receiving_hub, "/in/stripe", body, headers, (202, "stripe.invoice.paid"), body.replace(b"paid", b"made"))

    old = now - 301
    signature = stripe.WebhookSignature._compute_signature(f"{old}.{body.decode()}", SECRET)
    stale = {"stripe-signature": f"t={old},v1={signature}"}
    assert post(receiving_hub, "/in/stripe", body, stale).status_code == 401


def slack_headers(body: str) -> dict[str, str]:
    verifier, now = slack_sdk.signature.SignatureVerifier(SECRET), str(int(time.time()))
    signature = verifier.generate_signature(timestamp=now, body=body)
    assert verifier.is_valid(body, now, signature)
    return {"content-type": "application/json", "x-slack-request-timestamp": now, "x-slack-signature": signature}


def test_slack(receiving_hub: Hub) -> None:
    challenge = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB10FEMAGAZd4FyFQ"})
    answer = post(receiving_hub, "/in/slack", challenge.encode(), slack_headers(challenge))
    assert (answer.status_code, answer.text) == (200, "3eZbrw1aB10FEMAGAZd4FyFQ")

    event = {"type": "event_callback", "event_id": f"Ev{uuid.uuid4().hex}", "event": {"type": "message", "text": "hi"}}
    body = json.dumps(event)
    altered = body.replace('"hi"', '"ho"').encode()
    check(receiving_hub, "/in/slack", body.encode(), slack_headers(body), (200, "slack.message"), altered)


@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
@pytest.mark.parametrize("url", [PUBLIC_URL, PUBLIC_URL.replace(".com", ".com:443")])
def test_twilio_forms(receiving_hub: Hub, url: str, algorithm: str) -> None:
    validator = twilio.request_validator.RequestValidator(SECRET)
    form = {"MessageSid": f"SM{uuid.uuid4().hex}", "SmsStatus": "received", "From": "+14415550100", "Body": "Zoë & co = 1 +"}
    signed = f"{url}?office=1"
    signature = validator.compute_signature(signed, form, algorithm)
    assert validator.validate(signed, form, signature, algorithm)
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "x-twilio-signature": signature}
    if algorithm == "HMAC_SHA256":
        headers["x-twilio-webhooks-signature-settings"] = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    body, altered = (urlencode(form | change).encode() for change in ({}, {"Body": "yes"}))
    check(receiving_hub, "/in/twilio?office=1", body, headers, (200, "twilio.message.received"), altered)
    assert post(receiving_hub, "/in/twilio?office=2", body, headers).status_code == 401
    [event] = [event for event in events(receiving_hub, "twilio.message.received") if event["data"] == form]
    assert event["source"] == "/in/twilio"


def test_twilio_json(receiving_hub: Hub) -> None:
    validator = twilio.request_validator.RequestValidator(SECRET)
    body = json.dumps({"type": "com.twilio.interop", "n": uuid.uuid4().hex})
    query = f"bodySHA256={hashlib.sha256(body.encode()).hexdigest()}"
    signature = validator.compute_signature(f"{PUBLIC_URL}?{query}", {})
    assert validator.validate(f"{PUBLIC_URL}?{query}", body, signature)
    headers = {"content-type": "application/json", "x-twilio-signature": signature}
    answer = post(receiving_hub, f"/in/twilio?{query}", body.encode(), headers)
    assert answer.status_code == 200, answer.text
    assert len(events(receiving_hub, "twilio.com.twilio.interop")) == 1
    assert post(receiving_hub, f"/in/twilio?{query}", body.encode() + b" ", headers).status_code == 401

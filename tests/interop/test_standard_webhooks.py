"""Standard Webhooks, both ways: the official libraries sign what we take in, and verify what we send out."""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from datetime import datetime, timezone

import pytest
import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from conftest import SECRET, SIGNING_KEY
from hub import Hub
from javascript import ask
from receiver import Received, Receiver

BODY = '{"type": "invoice.paid", "timestamp": "2026-01-31T12:00:00Z", "data": {"sum": 12.50, "name": "Zoë"}}'


def sign_in_python(secret: str, message_id: str, timestamp: int, body: str) -> str:
    return Webhook(secret).sign(message_id, datetime.fromtimestamp(timestamp, tz=timezone.utc), body)


def sign_in_javascript(secret: str, message_id: str, timestamp: int, body: str) -> str:
    question = {"do": "sign", "secret": secret, "id": message_id, "timestamp": timestamp, "body": body}
    return ask("standard_webhooks.mjs", question)["signature"]


SIGNERS = {"python": sign_in_python, "javascript": sign_in_javascript}


def send(hub: Hub, source: str, message_id: str, timestamp: int, signature: str) -> requests.Response:
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    return requests.post(f"{hub.url}/in/{source}", data=BODY.encode(), headers=headers, timeout=20)


def fresh_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


@pytest.mark.parametrize("signer", SIGNERS)
def test_what_libraries_sign_is_accepted_once(hub: Hub, signer: str) -> None:
    message_id, now = fresh_id(), int(time.time())
    signature = SIGNERS[signer](SECRET, message_id, now, BODY)
    first = send(hub, "portal", message_id, now, signature)
    assert first.status_code == 202, first.text
    journey = hub.call("GET", f"/api/v1/events/{first.json()['id']}/journey")
    assert journey.status_code == 200, journey.text
    assert "invoice.paid" in journey.text
    repeat = send(hub, "portal", message_id, now, signature)
    assert (repeat.status_code, repeat.json()) == (202, first.json())


@pytest.mark.parametrize("signer", SIGNERS)
def test_other_secrets_and_other_times_are_refused_alike(hub: Hub, signer: str) -> None:
    sign, message_id, now = SIGNERS[signer], fresh_id(), int(time.time())
    foreign = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    answers = [
        send(hub, "portal", message_id, now, sign(foreign, message_id, now, BODY)),
        send(hub, "portal", message_id, now, sign(SECRET, "msg_other", now, BODY)),
        send(hub, "portal", message_id, now, sign(SECRET, message_id, now, BODY + " ")),
        send(hub, "portal", message_id, now - 400, sign(SECRET, message_id, now - 400, BODY)),
        send(hub, "portal", message_id, now + 400, sign(SECRET, message_id, now + 400, BODY)),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_asymmetric_signatures_are_accepted(hub: Hub) -> None:
    message_id, now = fresh_id(), int(time.time())
    tag = SIGNING_KEY.sign(f"{message_id}.{now}.{BODY}".encode())
    signature = "v1a," + base64.b64encode(tag).decode()
    assert send(hub, "lab", message_id, now, signature).status_code == 202
    other = fresh_id()
    assert send(hub, "lab", other, now, signature).status_code == 401
    # A v1 signature made with the public key as its secret is the classic mix-up of the two.
    public = base64.b64encode(SIGNING_KEY.public_key().public_bytes_raw()).decode()
    assert send(hub, "lab", other, now, sign_in_python(f"whsec_{public}", other, now, BODY)).status_code == 401


def verify_everywhere(secret: str, received: Received) -> dict:
    """Has both libraries verify an attempt, and refuse it under another secret. Gives the body."""
    body = received.body.decode()
    in_python = Webhook(secret).verify(received.body, received.headers)
    question = {"do": "verify", "secret": secret, "headers": received.headers, "body": body}
    in_javascript = ask("standard_webhooks.mjs", question)
    assert in_javascript == {"body": in_python}
    foreign = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    with pytest.raises(WebhookVerificationError):
        Webhook(foreign).verify(received.body, received.headers)
    assert "error" in ask("standard_webhooks.mjs", question | {"secret": foreign})
    return in_python


def emit(hub: Hub, event_type: str, data: object) -> str:
    event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/interop", "type": event_type, "data": data}
    answer = hub.call(
        "POST", "/api/v1/events", data=json.dumps(event), headers={"content-type": "application/cloudevents+json"}
    )
    assert answer.status_code == 202, answer.text
    return event["id"]


def test_deliveries_verify_and_keep_their_id_on_retry(hub: Hub, receiver: Receiver, endpoint) -> None:
    secret = endpoint("lab.**")["secret"]
    receiver.answer_next(500)
    event_id = emit(hub, "lab.report.created", {"text": "größer \U0001f9ea"})
    first, second = receiver.next(), receiver.next()
    for attempt in (first, second):
        body = verify_everywhere(secret, attempt)
        assert (body["type"], body["data"]) == ("lab.report.created", {"text": "größer \U0001f9ea"})
        assert datetime.fromisoformat(body["timestamp"]).tzinfo
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == event_id
    assert first.body == second.body


def test_both_secrets_sign_while_they_overlap(hub: Hub, receiver: Receiver, endpoint) -> None:
    made = endpoint("rotation.*")
    answer = hub.call("POST", f"/api/v1/webhooks/{made['id']}/regenerate-secret", json={"overlap_s": 600})
    assert answer.status_code == 200, answer.text
    emit(hub, "rotation.done", None)
    received = receiver.next()
    for secret in (made["secret"], answer.json()["secret"]):
        assert verify_everywhere(secret, received)["data"] is None


def test_an_inbound_webhook_goes_out_again(hub: Hub, receiver: Receiver, endpoint) -> None:
    secret = endpoint("invoice.paid")["secret"]
    message_id, now = fresh_id(), int(time.time())
    assert send(hub, "portal", message_id, now, sign_in_python(SECRET, message_id, now, BODY)).status_code == 202
    body = verify_everywhere(secret, receiver.next())
    assert body == json.loads(BODY)


def test_the_test_delivery_verifies(hub: Hub, receiver: Receiver, endpoint) -> None:
    made = endpoint("nothing.else")
    answer = hub.call("POST", f"/api/v1/webhooks/{made['id']}/test")
    assert answer.status_code == 202, answer.text
    assert verify_everywhere(made["secret"], receiver.next())["type"] == "webhook.test"

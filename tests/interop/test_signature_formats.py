"""Every set of signature headers that deliveries can carry, each verified by the official libraries of that format, where
there are any, and those of other senders by hand as well (`by_hand.py`).

Libraries that know only `v1` must pick it out of several signatures; `v1a`, which none of them knows, is checked with the
endpoint's public key by the `cryptography` package.
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Callable

import convoy.utils.webhook
import pytest
import standardwebhooks.webhooks
import stripe
import svix.webhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import by_hand
from hub import Hub
from javascript import ask
from receiver import Received, Receiver

DATA = {"sum": 12.5, "name": "Zoë", "object": "event"}
TEXT_SECRET = "whsec_a-secret-as-text-0123456789"


def standard_in_python(secret: str, received: Received) -> None:
    standardwebhooks.webhooks.Webhook(secret).verify(received.body, received.headers)


def svix_in_python(secret: str, received: Received) -> None:
    svix.webhooks.Webhook(secret).verify(received.body, received.headers)


def stripe_in_python(secret: str, received: Received) -> None:
    signature = received.headers["stripe-signature"]
    stripe.WebhookSignature.verify_header(received.body.decode(), signature, secret, tolerance=300)


def convoy_in_python(digest: str = "sha256", encoding: str = "hex") -> Callable[[str, Received], None]:
    def verify(secret: str, received: Received) -> None:
        signature = received.headers["x-convoy-signature"]
        signed = received.body.decode()
        if signature.startswith("t="):
            # The library checks the time of the advanced form, and leaves it to its caller to put it before the body.
            signed = signature.partition(",")[0].removeprefix("t=") + "," + signed
        webhook = convoy.utils.webhook.Webhook(secret, hash=digest, encoding=encoding)
        outcome = webhook.verify_signature(signed, signature)
        # Of base64 it says nothing when it fits, and the fault in words when it does not.
        if outcome is not (True if encoding == "hex" else None):
            raise ValueError(outcome)

    return verify


def hand(name: str) -> Callable[[str, Received], None]:
    return lambda secret, received: by_hand.verify(name, secret, received)


def in_javascript(library: str) -> Callable[[str, Received], None]:
    def verify(secret: str, received: Received) -> None:
        question = {"library": library, "secret": secret, "headers": received.headers, "body": received.body.decode()}
        answer = ask("signatures.mjs", question)
        if answer != {"verified": True}:
            raise ValueError(answer)

    return verify


STANDARD = [standard_in_python, in_javascript("standardwebhooks")]
# Svix's libraries take the headers of Standard Webhooks too.
SVIX = [svix_in_python, in_javascript("svix")]
LIBRARIES = {
    "standard": STANDARD + SVIX,
    "svix": SVIX,
    "stripe": [stripe_in_python, in_javascript("stripe"), hand("stripe")],
    "convoy": [convoy_in_python(), hand("convoy")],
    "convoy_simple": [convoy_in_python(), hand("convoy_simple")],
    "convoy_simple_base64": [convoy_in_python(encoding="base64"), hand("convoy_simple_base64")],
    "convoy_simple_sha512": [convoy_in_python("sha512"), hand("convoy_simple_sha512")],
    "convoy_simple_sha512_base64": [convoy_in_python("sha512", "base64"), hand("convoy_simple_sha512_base64")],
    "outpost": [hand("outpost")],
    "hook0": [in_javascript("hook0"), hand("hook0")],
}
KEYED_BY_TEXT = [name for name in LIBRARIES if name not in ("standard", "svix")]
# The others have room for one signature.
SEVERAL = ("convoy", "outpost", "stripe")


def foreign(secret: str) -> str:
    if secret == TEXT_SECRET:
        return "another-secret-as-text-0123456789"
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def check(name: str, received: Received, secret: str) -> None:
    """Has each library of the format verify a call, and refuse it under another secret and with another body."""
    altered = Received(received.path, received.headers, received.body.replace(b"12.5", b"92.5"))
    assert altered.body != received.body
    for verify in LIBRARIES[name]:
        verify(secret, received)
        with pytest.raises(Exception):
            verify(foreign(secret), received)
        with pytest.raises(Exception):
            verify(secret, altered)


def emit(hub: Hub, event_type: str) -> None:
    event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/interop", "type": event_type, "data": DATA}
    headers = {"content-type": "application/cloudevents+json"}
    answer = hub.call("POST", "/api/v1/events", data=json.dumps(event), headers=headers)
    assert answer.status_code == 202, answer.text


def renew(hub: Hub, endpoint: dict, **change) -> dict:
    answer = hub.call("POST", f"/api/v1/webhooks/{endpoint['id']}/regenerate-secret", json={"overlap_s": 600} | change)
    assert answer.status_code == 200, answer.text
    return answer.json()


def signatures(received: Received, prefix: str) -> list[list[str]]:
    return [entry.split(",", 1) for entry in received.headers[f"{prefix}-signature"].split(" ")]


def check_v1a(received: Received, prefix: str, public_keys: list[str]) -> None:
    """Each key fits exactly one of the `v1a` signatures."""
    headers = received.headers
    signed = f"{headers[f'{prefix}-id']}.{headers[f'{prefix}-timestamp']}.".encode() + received.body
    entries = [base64.b64decode(text) for version, text in signatures(received, prefix) if version == "v1a"]
    assert len(entries) == len(public_keys)
    for text in public_keys:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix("whpk_")))

        def fits(entry: bytes) -> bool:
            try:
                key.verify(entry, signed)
            except InvalidSignature:
                return False
            return True

        assert sum(map(fits, entries)) == 1


@pytest.mark.parametrize(("name", "prefix"), [("standard", "webhook"), ("svix", "svix")])
def test_v1_alone_and_with_a_replaced_secret(hub, receiver: Receiver, endpoint, name: str, prefix: str) -> None:
    made = endpoint(f"{name}.one", signature_format=name)
    emit(hub, f"{name}.one")
    received = receiver.next()
    assert [version for version, _ in signatures(received, prefix)] == ["v1"]
    check(name, received, made["secret"])

    renewed = renew(hub, made)
    emit(hub, f"{name}.one")
    received = receiver.next()
    assert [version for version, _ in signatures(received, prefix)] == ["v1", "v1"]
    for secret in (made["secret"], renewed["secret"]):
        check(name, received, secret)

    # Without an overlap the old one is worth nothing from that moment.
    last = renew(hub, made, overlap_s=0)
    emit(hub, f"{name}.one")
    received = receiver.next()
    check(name, received, last["secret"])
    for secret in (made["secret"], renewed["secret"]):
        for verify in LIBRARIES[name]:
            with pytest.raises(Exception):
                verify(secret, received)


@pytest.mark.parametrize(("name", "prefix"), [("standard", "webhook"), ("svix", "svix")])
def test_v1_and_v1a_together(hub, receiver: Receiver, endpoint, name: str, prefix: str) -> None:
    made = endpoint(f"{name}.both", signature_format=name, signing=["v1", "v1a"])
    emit(hub, f"{name}.both")
    received = receiver.next()
    check(name, received, made["secret"])
    check_v1a(received, prefix, [made["public_key"]])

    renewed = renew(hub, made)
    emit(hub, f"{name}.both")
    received = receiver.next()
    assert sorted(version for version, _ in signatures(received, prefix)) == ["v1", "v1", "v1a", "v1a"]
    for secret in (made["secret"], renewed["secret"]):
        check(name, received, secret)
    check_v1a(received, prefix, [made["public_key"], renewed["public_key"]])


@pytest.mark.parametrize(("name", "prefix"), [("standard", "webhook"), ("svix", "svix")])
def test_v1a_alone(hub, receiver: Receiver, endpoint, name: str, prefix: str) -> None:
    made = endpoint(f"{name}.private", signature_format=name, signing=["v1a"])
    assert "secret" not in made
    emit(hub, f"{name}.private")
    received = receiver.next()
    assert [version for version, _ in signatures(received, prefix)] == ["v1a"]
    check_v1a(received, prefix, [made["public_key"]])


@pytest.mark.parametrize("name", KEYED_BY_TEXT)
def test_formats_of_other_senders(hub, receiver: Receiver, endpoint, name: str) -> None:
    made = endpoint(f"{name}.sent", signature_format=name, secret=TEXT_SECRET)
    emit(hub, f"{name}.sent")
    check(name, receiver.next(), TEXT_SECRET)

    renewed = renew(hub, made, secret="a-newer-secret-as-text-0123456789")
    assert "secret" not in renewed
    emit(hub, f"{name}.sent")
    received = receiver.next()
    # Convoy's library looks at the first signature only.
    secrets = ["a-newer-secret-as-text-0123456789"] + ([TEXT_SECRET] if name == "stripe" else [])
    for secret in secrets:
        check(name, received, secret)


@pytest.mark.parametrize("name", KEYED_BY_TEXT)
def test_signatures_by_hand(hub, receiver: Receiver, endpoint, name: str) -> None:
    """Each live secret gives exactly one signature, the newest first, and no other secret gives any."""
    made = endpoint(f"{name}.by.hand", signature_format=name, secret=TEXT_SECRET)
    newer = "a-newer-secret-as-text-0123456789"
    renew(hub, made, secret=newer)
    emit(hub, f"{name}.by.hand")
    received = receiver.next()
    live = [newer, TEXT_SECRET] if name in SEVERAL else [newer]
    assert by_hand.signatures(name, received) == [by_hand.expected(name, secret, received) for secret in live]
    for secret in live:
        by_hand.verify(name, secret, received)
    if name not in SEVERAL:
        with pytest.raises(ValueError):
            by_hand.verify(name, TEXT_SECRET, received)

    renew(hub, made, secret="the-last-secret-as-text-0123456789", overlap_s=0)
    emit(hub, f"{name}.by.hand")
    received = receiver.next()
    by_hand.verify(name, "the-last-secret-as-text-0123456789", received)
    for secret in (newer, TEXT_SECRET):
        with pytest.raises(ValueError):
            by_hand.verify(name, secret, received)

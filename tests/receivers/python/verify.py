"""Verifies webhooks signed by Standard Webhooks, versions v1 and v1a. For v1 the standard library is enough."""

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

TOLERANCE_S = 300


class Refused(Exception):
    """The call is not to be trusted. Its text is `headers`, `timestamp` or `signature`."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> str:
    """Gives the `webhook-id` of a call, or raises Refused.

    `secret` is `whsec_…`, or `whpk_…` for v1a. `headers` has lower-case names; `body` is what came over the wire.
    """
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    # A full stop in the id would let the same bytes be read as another id, timestamp and body.
    if not re.fullmatch(r"[!-\-/-~]{1,256}", webhook_id) or not re.fullmatch(r"[0-9]{1,15}", timestamp) or not signatures:
        raise Refused("headers")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise Refused("timestamp")
    # Signed is the text of the headers, not a number read from it and printed again.
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    fits = _fits_v1a if secret.startswith("whpk_") else _fits_v1
    if not any(fits(secret, signed, entry) for entry in signatures.split(" ")):
        raise Refused("signature")
    return webhook_id


def _fits_v1(secret: str, signed: bytes, entry: str) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    tag = hmac.new(key, signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(tag)
    return hmac.compare_digest(expected, entry.encode(errors="replace"))


def _fits_v1a(secret: str, signed: bytes, entry: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_")))
    version, _, encoded = entry.partition(",")
    try:
        if version == "v1a":
            key.verify(base64.b64decode(encoded, validate=True), signed)
            return True
    except (InvalidSignature, binascii.Error, ValueError):
        pass
    return False

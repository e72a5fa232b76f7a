"""The signatures of other senders, verified by Python's own library from what their documents say.

Written apart from the hub and from the libraries of these senders, which know only some of the formats, look at the first
of several signatures, or trust a header that they do not check.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime

from receiver import Received

# https://www.getconvoy.io/docs: hash and encoding are chosen for a project.
CONVOY_SIMPLE = {
    "convoy_simple": ("sha256", "hex"),
    "convoy_simple_base64": ("sha256", "base64"),
    "convoy_simple_sha512": ("sha512", "hex"),
    "convoy_simple_sha512_base64": ("sha512", "base64"),
}
HEADERS = {
    "convoy": "x-convoy-signature",
    "outpost": "x-outpost-signature",
    "hook0": "x-hook0-signature",
    "stripe": "stripe-signature",
} | dict.fromkeys(CONVOY_SIMPLE, "x-convoy-signature")


def mac(secret: str, signed: bytes, digest: str = "sha256", encoding: str = "hex") -> str:
    tag = hmac.new(secret.encode(), signed, digest).digest()
    return tag.hex() if encoding == "hex" else base64.b64encode(tag).decode()


def parts(signature: str) -> list[tuple[str, str]]:
    """Splits `t=1,v1=a,v1=b`, in which an element without a name has that of the one before."""
    found: list[tuple[str, str]] = []
    for element in signature.split(","):
        name, is_named, value = element.partition("=")
        found.append((name, value) if is_named else (found[-1][0], element))
    return found


def signatures(name: str, received: Received) -> list[str]:
    """The signatures of a call, the newest secret's first."""
    header = received.headers[HEADERS[name]]
    if name in CONVOY_SIMPLE:
        return [header]
    version = "v0" if name == "outpost" else "v1"
    return [value for part, value in parts(header) if part == version]


def expected(name: str, secret: str, received: Received) -> str:
    """The signature that this secret gives."""
    headers, body = received.headers, received.body
    if name in CONVOY_SIMPLE:
        return mac(secret, body, *CONVOY_SIMPLE[name])
    if name == "outpost":
        return mac(secret, body)
    fields = dict(parts(headers[HEADERS[name]]))
    timestamp = fields["t"]
    if name == "hook0":
        names = fields["h"].split(" ")
        values = [headers[header] for header in names]
        return mac(secret, ".".join([timestamp, fields["h"], *values]).encode() + b"." + body)
    return mac(secret, timestamp.encode() + {"convoy": b",", "stripe": b"."}[name] + body)


def verify(name: str, secret: str, received: Received) -> None:
    """Raises ValueError unless one of the call's signatures is by this secret, and its headers agree with each other."""
    wanted = expected(name, secret, received)
    if not any(hmac.compare_digest(wanted, found) for found in signatures(name, received)):
        raise ValueError("no signature fits")
    headers = received.headers
    fields = dict(parts(headers[HEADERS[name]])) if name not in CONVOY_SIMPLE else {}
    if "t" in fields and fields["t"] != headers["webhook-timestamp"]:
        raise ValueError("two times")
    if name == "hook0":
        older = mac(secret, fields["t"].encode() + b"." + received.body)
        if not hmac.compare_digest(older, fields["v0"]):
            raise ValueError("the signature v0 does not fit")
        if fields["h"].split(" ") != ["x-event-id", "x-event-type"]:
            raise ValueError("id and type are not signed")
    if name == "outpost":
        sent_at = datetime.fromisoformat(headers["x-outpost-timestamp"]).timestamp()
        if headers["x-outpost-event-id"] != headers["webhook-id"] or int(sent_at) != int(headers["webhook-timestamp"]):
            raise ValueError("two ids or two times")

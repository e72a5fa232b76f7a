"""One hub and one receiver for all tests."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub import Hub, running_hub
from receiver import Receiver, running_receiver

SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
SIGNING_KEY = Ed25519PrivateKey.generate()

CONFIG = """
[dispatch]
backoff_ms = [50, 100]
jitter = 0.0

[egress]
allow = ["127.0.0.0/8"]

[[sources]]
name = "portal"
scheme = "standard-webhooks"
secret = "env:PORTAL_SECRET"

[[sources]]
name = "lab"
scheme = "standard-webhooks"
secret = "env:LAB_KEY"
"""


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    public_key = SIGNING_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    secrets = {"PORTAL_SECRET": SECRET, "LAB_KEY": "whpk_" + base64.b64encode(public_key).decode()}
    with running_hub(CONFIG, secrets) as hub:
        yield hub


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def endpoint(hub: Hub, receiver: Receiver) -> Iterator:
    """Makes endpoints at the receiver; they are gone after the test."""
    made = []

    def make(*events: str, path: str = "/", **settings) -> dict:
        body = {"url": receiver.url + path, "events": list(events)} | settings
        answer = hub.call("POST", "/api/v1/webhooks", json=body)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return answer.json()

    yield make
    for endpoint_id in made:
        assert hub.call("DELETE", f"/api/v1/webhooks/{endpoint_id}").status_code == 204

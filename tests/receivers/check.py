"""Checks that docs/webhooks.md quotes the receivers beside this file word for word, and runs them on vectors.json.

    pytest tests/receivers/check.py

The receiver in Rust is compiled and run on the same vectors by the Rust tests. Node.js and the package `cryptography` (for
v1a in Python) are used where they are; with TRUNKLINE_TEST_REQUIRE_NODE=1 and TRUNKLINE_TEST_REQUIRE_CRYPTOGRAPHY=1 their
absence is a failure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import importlib.util
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import threading
import time

import pytest

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "webhooks.md"
QUOTED = {
    "python/verify.py": "python",
    "python/receiver.py": "python",
    "node/verify.mjs": "js",
    "rust/verify.rs": "rust",
}
VECTORS = json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))["vectors"]
OUTCOMES = {"accepted", "headers", "timestamp", "signature"}

sys.path.insert(0, str(HERE / "python"))
sys.dont_write_bytecode = True
import receiver  # noqa: E402
from verify import Refused, verify  # noqa: E402


def missing(what: str, variable: str) -> None:
    """Ends a test that lacks something it needs."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{what} is missing, and {variable} demands it")
    pytest.skip(f"{what} is missing")


def body_of(vector: dict) -> bytes:
    return vector["body"].encode() if "body" in vector else base64.b64decode(vector["body_base64"])


def named(vector: dict) -> str:
    return vector["name"]


@pytest.mark.parametrize(("file", "language"), QUOTED.items())
def test_the_guide_quotes_the_file(file: str, language: str) -> None:
    text = (HERE / file).read_text(encoding="utf-8")
    assert f"\n```{language}\n{text}```\n" in DOCS.read_text(encoding="utf-8"), f"docs/webhooks.md has another {file}"


def test_the_guide_shows_a_call_that_verifies() -> None:
    example = next(vector for vector in VECTORS if named(vector) == "the guide's example")
    text = DOCS.read_text(encoding="utf-8")
    head = "\n".join(f"{name}: {value}" for name, value in example["headers"].items())
    assert f"{head}\n\n{example['body']}\n" in text
    assert example["secret"] in text


def test_the_vectors_are_sound() -> None:
    assert len({named(vector) for vector in VECTORS}) == len(VECTORS)
    assert {vector["expect"] for vector in VECTORS} == OUTCOMES
    assert all(("body" in vector) != ("body_base64" in vector) for vector in VECTORS)


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_python(vector: dict) -> None:
    if vector["secret"].startswith("whpk_") and importlib.util.find_spec("cryptography") is None:
        missing("the package cryptography", "TRUNKLINE_TEST_REQUIRE_CRYPTOGRAPHY")
    try:
        webhook_id = verify(vector["secret"], vector["headers"], body_of(vector), vector["now"])
        assert webhook_id == vector["headers"]["webhook-id"]
        outcome = "accepted"
    except Refused as refused:
        outcome = str(refused)
    assert outcome == vector["expect"]


@pytest.fixture(scope="session")
def node_outcomes() -> list[str]:
    node = shutil.which("node")
    if node is None:
        missing("Node.js", "TRUNKLINE_TEST_REQUIRE_NODE")
    ran = subprocess.run([node, HERE / "node" / "run_vectors.mjs"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(("index", "vector"), list(enumerate(VECTORS)), ids=[named(vector) for vector in VECTORS])
def test_node(index: int, vector: dict, node_outcomes: list[str]) -> None:
    assert node_outcomes[index] == vector["expect"]


def test_the_clock_is_taken_when_none_is_given() -> None:
    headers = signed(str(int(time.time())), b"now")
    assert verify(SECRET, headers, b"now") == "evt_1"
    with pytest.raises(Refused, match="timestamp"):
        verify(SECRET, signed("1769860800", b"then"), b"then")


def test_python_takes_headers_that_were_no_text() -> None:
    """Some servers hand over undecodable bytes as lone surrogates."""
    headers = signed("1769860800", b"x")
    headers["webhook-signature"] = "v1,\udcff " + headers["webhook-signature"]
    assert verify(SECRET, headers, b"x", 1769860800) == "evt_1"
    with pytest.raises(Refused, match="headers"):
        verify(SECRET, headers | {"webhook-id": "evt_\udcff"}, b"x", 1769860800)


SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()


def signed(timestamp: str, body: bytes, webhook_id: str = "evt_1") -> dict[str, str]:
    """The headers of a call, signed without the code under test."""
    key = base64.b64decode(SECRET.split("_")[1])
    tag = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    signature = "v1," + base64.b64encode(tag).decode()
    return {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_the_receiver_stores_once_and_works_afterwards(tmp_path: pathlib.Path) -> None:
    inbox = receiver.Inbox(str(tmp_path / "inbox.db"))
    handled: queue.Queue = queue.Queue()
    threading.Thread(target=inbox.work, args=(lambda *call: handled.put(call),), daemon=True).start()
    server = receiver.make_server(("127.0.0.1", 0), SECRET, inbox)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection(*server.server_address, timeout=20)

    def post(body: bytes, headers: dict[str, str]) -> int:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    now = str(int(time.time()))
    try:
        assert post(b"first, changed", signed(now, b"first")) == 401
        assert post(b"first", signed(now, b"first")) == 204
        assert post(b"first", signed(now, b"first")) == 204
        assert post(b"second", signed(now, b"second", "evt_2")) == 204
        assert handled.get(timeout=20) == ("evt_1", b"first")
        assert handled.get(timeout=20) == ("evt_2", b"second")
        assert post(b"", signed(now, b"") | {"content-length": str(receiver.MAX_BODY_BYTES + 1)}) == 413
    finally:
        connection.close()
        server.shutdown()
        server.server_close()
    assert handled.empty()

"""CloudEvents, both ways: the official SDKs write what we take in, and read what we answer and deliver."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import datetime, timezone

import pytest
import requests
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from hub import Hub
from javascript import ask
from receiver import Receiver

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

# What the hub adds to an event it has stored.
ADDED = {"tenant", "correlationid", "seq", "shard", "recordedat"}


# The JavaScript SDK leaves out the percent-encoding that the HTTP binding asks for, so its headers hold ASCII here.
PLAIN = {"subject": "size/7", "customer": "Zoe, the 100%"}


def attributes(**more: str) -> dict:
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": "/interop/sdk",
        "type": "com.example.sdk.test",
        "subject": "größe/7",
        "time": "2026-01-31T12:00:00.25Z",
        "dataschema": "https://example.com/schema.json",
        "customer": "Zoë, \"the\" 100%",
    } | more


CONTENTS = {
    "json": ("application/json", {"n": 1, "nested": {"list": [1, 2.5, None, "ü"]}}),
    "text": ("text/plain", "plain größe"),
    "bytes": ("application/octet-stream", b"\x00\x01\xfe\xff"),
}


def write_in_python(mode: str, event: dict, data: object) -> tuple[dict, bytes]:
    made = CloudEvent(event | {"time": datetime.fromisoformat(event["time"])}, data)
    message = {"structured": to_structured_event, "binary": to_binary_event}[mode](made)
    return message.headers, message.body


def write_in_javascript(mode: str, event: dict, data: object) -> tuple[dict, bytes]:
    content = {"data_base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else {"data": data}
    message = ask("cloudevents.mjs", {"do": "write", "mode": mode, "event": event | content})
    return message["headers"], message["body"].encode()


WRITERS = {"python": write_in_python, "javascript": write_in_javascript}


def emit(hub: Hub, headers: dict, body: bytes) -> requests.Response:
    return hub.call("POST", "/api/v1/events", data=body, headers=headers)


def content_of(answer: dict) -> object:
    return base64.b64decode(answer["data_base64"]) if "data_base64" in answer else answer.get("data")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def assert_same(answer: dict, event: dict, data: object) -> None:
    """Compares an event as answered with the event as it was made."""
    answer = dict(answer)
    assert content_of(answer) == data
    assert time_of(answer.pop("time")) == time_of(event["time"])
    left = {name: value for name, value in answer.items() if name not in ADDED | {"data", "data_base64"}}
    assert left == {name: value for name, value in event.items() if name != "time"}


# The JavaScript SDK does not write bytes in binary mode: its question travels as JSON here.
CASES = [
    (writer, mode, content)
    for writer in WRITERS
    for mode in ("structured", "binary")
    for content in CONTENTS
    if (writer, mode, content) != ("javascript", "binary", "bytes")
]


@pytest.mark.parametrize(("writer", "mode", "content"), CASES)
def test_events_come_back_as_they_were_made(hub: Hub, writer: str, mode: str, content: str) -> None:
    content_type, data = CONTENTS[content]
    event = attributes(datacontenttype=content_type)
    if (writer, mode) == ("javascript", "binary"):
        event |= PLAIN
    emitted = emit(hub, *WRITERS[writer](mode, event, data))
    assert emitted.status_code == 202, emitted.text
    answer = hub.call("GET", f"/api/v1/events/{event['id']}")
    assert answer.status_code == 200
    assert_same(answer.json(), event, data)
    again = emit(hub, *WRITERS[writer](mode, event, data))
    assert (again.status_code, again.json()["seq"]) == (200, emitted.json()["seq"])


@pytest.mark.parametrize("content", CONTENTS)
def test_both_sdks_read_what_the_api_answers(hub: Hub, content: str) -> None:
    content_type, data = CONTENTS[content]
    event = attributes(datacontenttype=content_type)
    assert emit(hub, *write_in_python("structured", event, data)).status_code == 202
    answer = hub.call("GET", f"/api/v1/events/{event['id']}")
    read_everywhere(answer.content, event, data)


def read_everywhere(body: bytes, event: dict, data: object) -> None:
    """Has both SDKs read a structured event and compares it with the event as it was made."""
    in_python = from_http_event(HTTPMessage(headers={"content-type": STRUCTURED}, body=body))
    assert in_python.get_data() == data
    assert in_python.get_id() == event["id"]
    assert in_python.get_subject() == event["subject"]
    assert in_python.get_time() == time_of(event["time"])
    assert in_python.get_extension("customer") == event["customer"]
    question = {"do": "read", "headers": {"content-type": STRUCTURED}, "body": body.decode()}
    [in_javascript] = ask("cloudevents.mjs", question)["events"]
    assert in_javascript["id"] == event["id"]
    assert in_javascript["customer"] == event["customer"]
    assert content_of(in_javascript) == data


def test_a_batch_is_taken_event_by_event(hub: Hub) -> None:
    # Neither SDK writes batches: a batch is an array of what they write as structured events.
    events = [attributes(datacontenttype="application/json") for _ in range(4)]
    written = [
        json.loads(WRITERS[writer]("structured", event, {"n": n})[1])
        for n, (event, writer) in enumerate(zip(events, ["python", "javascript"] * 2))
    ]
    bad = {"specversion": "1.0", "id": "x", "type": "no source"}
    body = json.dumps([*written[:2], bad, *written[2:]])
    answer = emit(hub, {"content-type": BATCH}, body.encode())
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [item["status"] for item in items] == ["accepted", "accepted", "rejected", "accepted", "accepted"]
    assert {error["pointer"] for error in items[2]["errors"]} == {"/source", "/type"}
    for n, event in enumerate(events):
        stored = hub.call("GET", f"/api/v1/events/{event['id']}")
        assert_same(stored.json(), event, {"n": n})


def test_the_javascript_sdk_reads_a_list_as_a_batch(hub: Hub) -> None:
    events = [attributes(datacontenttype="application/json", type="com.example.sdk.batch") | PLAIN for _ in range(3)]
    for event in events:
        assert emit(hub, *write_in_javascript("binary", event, {})).status_code == 202
    listed = hub.call("GET", "/api/v1/events", params={"type": "com.example.sdk.batch"}).json()["items"]
    question = {"do": "read", "headers": {"content-type": BATCH}, "body": json.dumps(listed)}
    read = ask("cloudevents.mjs", question)["events"]
    assert {event["id"] for event in read} == {event["id"] for event in events}


@pytest.mark.parametrize("content", CONTENTS)
def test_both_sdks_read_deliveries(hub: Hub, receiver: Receiver, endpoint, content: str) -> None:
    endpoint("com.example.sdk.delivered", path="/?format=cloudevents")
    content_type, data = CONTENTS[content]
    event = attributes(datacontenttype=content_type, type="com.example.sdk.delivered")
    assert emit(hub, *write_in_javascript("structured", event, data)).status_code == 202
    received = receiver.next()
    assert received.headers["webhook-id"] == event["id"]
    assert received.headers["content-type"].split(";")[0] == STRUCTURED
    read_everywhere(received.body, event, data)

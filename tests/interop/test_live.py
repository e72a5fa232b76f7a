"""Live updates: WebSocket clients of other makes are cut off again and again, and see every event once."""

from __future__ import annotations

import json
import pathlib
import subprocess
import threading
import uuid

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hub import ADMIN_TOKEN, Hub

N_EVENTS = 120
CUT_AFTER = 7
ROOMS = ["clinic:live", "driver:live"]


def live_url(hub: Hub) -> str:
    return hub.url.replace("http://", "ws://") + "/live"


def write_events(hub: Hub) -> None:
    """Stores what concerns the rooms, and as much that does not."""
    for n in range(N_EVENTS):
        named = {"clinicId": "live"} if n % 2 else {"driver_id": "live", "clinic_id": "live"}
        for subject, data in ((f"live-{n}", named), (f"other-{n}", {"clinicId": "other"})):
            event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/interop/live", "type": "a.b"}
            answer = hub.call("POST", "/api/v1/events", json=event | {"subject": subject, "data": data})
            assert answer.status_code == 202, answer.text


def follow_in_python(hub: Hub, ready: threading.Event, token: str) -> tuple[list[str], int]:
    subjects, place, n_connections = [], None, 0
    while len(subjects) < N_EVENTS:
        n_connections += 1
        with connect(live_url(hub), additional_headers={"authorization": f"Bearer {token}"}) as live:
            live.send(json.dumps({"type": "subscribe", "rooms": ROOMS, "after": place}))
            n_seen = 0
            while n_seen < CUT_AFTER and len(subjects) < N_EVENTS:
                frame = json.loads(live.recv(timeout=20))
                if frame["type"] in ("subscribed", "heartbeat"):
                    place = frame["at"]
                    ready.set()
                elif frame["type"] == "event":
                    subjects.append(frame["event"]["subject"])
                    place[str(frame["shard"])] = frame["seq"]
                    n_seen += 1
                else:
                    assert frame["type"] == "authenticated", frame
    return subjects, n_connections


def follow_in_javascript(hub: Hub, ready: threading.Event, token: str) -> tuple[list[str], int]:
    question = {"url": live_url(hub), "token": token, "rooms": ROOMS, "n_events": N_EVENTS, "cut_after": CUT_AFTER}
    process = subprocess.Popen(
        ["node", "live.mjs"],
        cwd=pathlib.Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(json.dumps(question))
    process.stdin.close()
    assert process.stderr.readline() == "ready\n", process.stderr.read()
    ready.set()
    answer = json.loads(process.stdout.read())
    assert process.wait(20) == 0
    return answer["subjects"], answer["n_connections"]


@pytest.mark.parametrize("follow", [follow_in_python, follow_in_javascript])
def test_a_client_that_comes_back_misses_nothing_and_sees_nothing_twice(hub: Hub, follow) -> None:
    token = hub.call("POST", "/api/v1/tokens", json={"name": "live", "role": "member", "rooms": ROOMS}).json()["token"]
    ready = threading.Event()

    def write() -> None:
        assert ready.wait(20)
        write_events(hub)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        subjects, n_connections = follow(hub, ready, token)
    finally:
        ready.set()
        writer.join()
    assert subjects == [f"live-{n}" for n in range(N_EVENTS)]
    assert n_connections > N_EVENTS // CUT_AFTER


def test_a_ticket_opens_one_connection(hub: Hub) -> None:
    ticket = hub.call("POST", "/api/v1/live/tickets").json()["ticket"]
    with connect(live_url(hub)) as live:
        live.send(json.dumps({"type": "auth", "ticket": ticket}))
        assert json.loads(live.recv(timeout=20))["role"] == "admin"
    with connect(live_url(hub)) as live:
        live.send(json.dumps({"type": "auth", "ticket": ticket}))
        assert json.loads(live.recv(timeout=20))["code"] == "auth.invalid"
        with pytest.raises(ConnectionClosed) as closed:
            live.recv(timeout=20)
        assert closed.value.rcvd.code == 4401


def test_a_member_joins_no_room_of_others(hub: Hub) -> None:
    made = hub.call("POST", "/api/v1/tokens", json={"name": "live", "role": "member", "user": "ann"}).json()
    with connect(live_url(hub), additional_headers={"authorization": f"Bearer {made['token']}"}) as live:
        assert json.loads(live.recv(timeout=20))["user"] == "ann"
        foreign = ["tenant:default", "user:bob", "clinic:live", "role:admin"]
        live.send(json.dumps({"type": "subscribe", "rooms": [*foreign, "user:ann"]}))
        assert json.loads(live.recv(timeout=20))["rooms"] == foreign
        assert json.loads(live.recv(timeout=20))["rooms"] == ["user:ann"]
    assert ADMIN_TOKEN not in hub.output()

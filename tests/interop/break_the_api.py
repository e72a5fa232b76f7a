"""Tries to break the API by its own OpenAPI document: every route without a token, then schemathesis on all of them.

Run by `run.sh schemathesis`; extra arguments go to schemathesis. The same seed gives the same requests.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import uuid

import requests

from hub import ADMIN_TOKEN, Hub, running_hub
from receiver import running_receiver

FOLDER = pathlib.Path(__file__).parent
METHODS = ("get", "post", "put", "patch", "delete")
# What anybody may call: health for load balancers, metrics for a scraper beside the hub, and documentation.
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/errors/{code}"}

CONFIG = """
[egress]
allow = ["127.0.0.0/8"]

[[sources]]
name = "open"
scheme = "none"

[[sources]]
name = "closed"
scheme = "token"
secret = "env:CLOSED_TOKEN"
"""


def fill(hub: Hub, receiver_url: str) -> None:
    """Puts something of everything into the hub, so that lists are not empty."""
    answer = hub.call("POST", "/api/v1/webhooks", json={"url": receiver_url, "events": ["**"]})
    assert answer.status_code == 201, answer.text
    for n in range(3):
        event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/s", "type": "a.b", "data": {"n": n}}
        headers = {"content-type": "application/cloudevents+json"}
        assert hub.call("POST", "/api/v1/events", data=json.dumps(event), headers=headers).status_code == 202
    for source, body, status in [("open", '{"type": "a.b", "data": 1}', 202), ("open", "{", 202), ("closed", "{}", 401)]:
        headers = {"content-type": "application/json"}
        answer = requests.post(f"{hub.url}/in/{source}", data=body, headers=headers, timeout=20)
        assert answer.status_code == status, answer.text


def check_tokens(hub: Hub) -> int:
    """Calls every described route without a token and with a wrong one; gives how many were closed."""
    document = requests.get(hub.url + "/openapi.json", timeout=20).json()
    n_closed = 0
    for path, operations in document["paths"].items():
        for method in METHODS & operations.keys():
            if path in OPEN or path.startswith("/in/"):
                continue
            url = hub.url + path.replace("{id}", "evt_0")
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}):
                answer = requests.request(method, url, headers=headers, timeout=20)
                assert answer.status_code == 401, f"{method} {path} {headers}: {answer.status_code} {answer.text}"
                assert answer.headers["content-type"] == "application/problem+json", f"{method} {path}"
            assert operations[method]["security"], f"{method} {path} is closed and not described so"
            n_closed += 1
    return n_closed


def main(arguments: list[str]) -> int:
    with running_receiver() as receiver, running_hub(CONFIG, {"CLOSED_TOKEN": uuid.uuid4().hex}) as hub:
        fill(hub, receiver.url)
        n_closed = check_tokens(hub)
        print(f"{n_closed} operations refuse callers without a token", flush=True)
        assert n_closed > 10
        command = [
            pathlib.Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            FOLDER / "schemathesis.toml",
            "run",
            hub.url + "/openapi.json",
            "--header",
            f"Authorization: Bearer {ADMIN_TOKEN}",
            *arguments,
        ]
        environment = os.environ | {"RECEIVER_URL": receiver.url, "PYTHONPATH": str(FOLDER)}
        return subprocess.run(command, env=environment, cwd=FOLDER, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Workflows call a server of the official gRPC library, described by files that the official compiler reads too."""

from __future__ import annotations

import functools
import http.server
import importlib
import pathlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from grpc_tools import protoc

from hub import Hub

COMMON = """
syntax = "proto3";
package lab.common;
message Case { string id = 1; int64 n_units = 2; repeated string notes = 3; map<string, double> sizes = 4; }
"""

SERVICE = """
syntax = "proto3";
package lab.v1;
import "common/case.proto";
import "google/protobuf/timestamp.proto";
message Asked { lab.common.Case case = 1; google.protobuf.Timestamp due_at = 2; }
message Answered { lab.common.Case case = 1; bool is_due = 2; string who = 3; string key = 4; google.protobuf.Timestamp due_at = 5; }
service Lab {
  rpc Judge(Asked) returns (Answered);
  rpc Follow(Asked) returns (stream Answered);
  rpc Refuse(Asked) returns (Answered);
  rpc Gather(stream Asked) returns (Answered);
}
"""

CASE = {"id": "c-1", "nUnits": "9007199254740993", "notes": ["ä", "b"], "sizes": {"x": 1.5}}
ASKED = {"case": CASE, "dueAt": "2026-03-01T10:00:00Z"}


@pytest.fixture(scope="module")
def folder() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="trunkline-grpc-") as name:
        root = pathlib.Path(name)
        (root / "common").mkdir()
        (root / "common" / "case.proto").write_text(COMMON)
        (root / "lab.proto").write_text(SERVICE)
        yield root


@pytest.fixture(scope="module")
def files(folder: pathlib.Path) -> Iterator[str]:
    """Gives the files away over HTTP."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="module")
def lab(folder: pathlib.Path) -> Iterator[int]:
    """A server of the official library; its port."""
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = [f"-I{folder}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *arguments, "common/case.proto", "lab.proto"]) == 0
    sys.path.insert(0, str(folder))
    messages, services = importlib.import_module("lab_pb2"), importlib.import_module("lab_pb2_grpc")

    def answer(asked, context) -> object:
        sent = dict(context.invocation_metadata())
        key, who = sent.get("idempotency-key", ""), sent.get("authorization", "")
        return messages.Answered(case=asked.case, is_due=True, who=who, key=key, due_at=asked.due_at)

    class Lab(services.LabServicer):
        def Judge(self, request, context):
            return answer(request, context)

        def Follow(self, request, context):
            for unit in range(3):
                request.case.n_units = unit
                yield answer(request, context)

        def Refuse(self, request, context):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: zu früh")

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services.add_LabServicer_to_server(Lab(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()
    sys.path.remove(str(folder))


def run(hub: Hub, files: str, port: int, name: str, call: dict) -> dict:
    """Runs a workflow of one call to its end."""
    call = {"proto": {"endpoint": f"{files}/lab.proto"}, "arguments": {"case": "${ .case }", "dueAt": "${ .dueAt }"}} | call
    service = {"name": "lab.v1.Lab", "host": "127.0.0.1", "port": port} | call.pop("service", {})
    document = {
        "document": {"dsl": "1.0.3", "namespace": "interop", "name": name, "version": "1.0.0"},
        "do": [{"call": {"call": "grpc", "with": call | {"service": service}}}],
    }
    stored = hub.call("POST", "/api/v1/workflow-definitions", json=document)
    assert stored.status_code == 201, stored.text
    start = {"definition": f"interop/{name}", "input": ASKED | {"who": "t-1"}}
    ended = hub.call("POST", "/api/v1/workflows?wait_s=20", json=start)
    assert ended.status_code in (200, 201), ended.text
    return ended.json()


def test_messages_go_and_come(hub: Hub, files: str, lab: int) -> None:
    service = {"authentication": {"bearer": {"token": "${ .who }"}}}
    ended = run(hub, files, lab, "judge", {"method": "Judge", "service": service})
    assert ended["status"] == "completed", ended
    output = ended["output"]
    assert output.pop("key")
    assert output == {"case": CASE, "isDue": True, "who": "Bearer t-1", "dueAt": ASKED["dueAt"]}


def test_a_stream_is_a_list(hub: Hub, files: str, lab: int) -> None:
    ended = run(hub, files, lab, "follow", {"method": "Follow", "service": {"name": "Lab"}})
    assert ended["status"] == "completed", ended
    assert [answer["case"].get("nUnits", "0") for answer in ended["output"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("method", "status", "said"),
    [
        ("Refuse", 400, "FAILED_PRECONDITION: not today: zu früh"),
        ("Gather", 400, "the method takes a stream of requests"),
        ("Absent", 400, "the service has no method `Absent`"),
    ],
)
def test_refusals_say_why(hub: Hub, files: str, lab: int, method: str, status: int, said: str) -> None:
    ended = run(hub, files, lab, f"refused-{method.lower()}", {"method": method})
    assert (ended["status"], ended["error"]["status"]) == ("failed", status), ended
    assert said in ended["error"]["detail"], ended


def test_arguments_must_fit(hub: Hub, files: str, lab: int) -> None:
    ended = run(hub, files, lab, "misfit", {"method": "Judge", "arguments": {"case": {"unheard": 1}}})
    assert ended["error"]["type"].endswith("/validation"), ended
    assert "unheard" in ended["error"]["detail"], ended

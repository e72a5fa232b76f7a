"""A receiver of deliveries that keeps everything it is sent and answers as it is told."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RECEIVE_LIMIT_S = 20


@dataclass
class Received:
    """One attempt as it arrived; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Where attempts arrive."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._arrived: queue.Queue[Received] = queue.Queue()
        self._answers: queue.Queue[int] = queue.Queue()

    def answer_next(self, *statuses: int) -> None:
        """Answers the next attempts with these; all others with 204."""
        for status in statuses:
            self._answers.put(status)

    def next(self) -> Received:
        """Waits for the next attempt."""
        return self._arrived.get(timeout=RECEIVE_LIMIT_S)

    def keep(self, received: Received) -> int:
        self._arrived.put(received)
        try:
            return self._answers.get_nowait()
        except queue.Empty:
            return 204


@contextlib.contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Starts a receiver on a port of the system's choice."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.keep(Received(self.path, headers, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

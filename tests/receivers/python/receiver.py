"""A small receiver: verifies each call, stores it once, answers, and works afterwards.

    WEBHOOK_SECRET=whsec_… python receiver.py 8000
"""

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import Refused, verify

MAX_BODY_BYTES = 1 << 20


class Inbox:
    """What has arrived, by its `webhook-id`. Stored means on disk, so that a 2xx answer can be relied on."""

    def __init__(self, file: str):
        self.file, self.arrived = file, threading.Event()
        with self._open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB, done INT DEFAULT 0)")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with contextlib.closing(sqlite3.connect(self.file, timeout=5)) as db, db:
            yield db

    def store(self, webhook_id: str, body: bytes) -> None:
        """Stores a call; one that is there already stays as it is."""
        with self._open() as db:
            db.execute("INSERT INTO inbox (id, body) VALUES (?, ?) ON CONFLICT DO NOTHING", (webhook_id, body))
        self.arrived.set()

    def work(self, handle: Callable[[str, bytes], None]) -> None:
        """Hands over one call after the other, for ever. After a crash the call at hand comes once more."""
        while True:
            self.arrived.clear()
            with self._open() as db:
                calls = db.execute("SELECT id, body FROM inbox WHERE done = 0 ORDER BY rowid").fetchall()
            for webhook_id, body in calls:
                handle(webhook_id, body)
                with self._open() as db:
                    db.execute("UPDATE inbox SET done = 1 WHERE id = ?", (webhook_id,))
            self.arrived.wait()


def make_server(address: tuple[str, int], secret: str, inbox: Inbox) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version, timeout = "HTTP/1.1", 10

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
                self.close_connection = True
                return self.answer(413)
            body = self.rfile.read(int(length))
            try:
                webhook_id = verify(secret, {name.lower(): value for name, value in self.headers.items()}, body)
            except Refused:
                return self.answer(401)
            inbox.store(webhook_id, body)
            self.answer(204)

        def answer(self, status: int) -> None:
            self.send_response(status)
            if status != 204:
                self.send_header("content-length", "0")
            self.end_headers()

    return ThreadingHTTPServer(address, Handler)


if __name__ == "__main__":
    box = Inbox("inbox.db")
    threading.Thread(target=box.work, args=(lambda webhook_id, body: print(webhook_id, len(body)),), daemon=True).start()
    make_server(("127.0.0.1", int(sys.argv[1])), os.environ["WEBHOOK_SECRET"], box).serve_forever()

"""A hub for one test run: the built binary on a port of the system's choice, in a folder that goes with it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import requests

ADMIN_TOKEN = "tl_interop_0123456789abcdef0123456789abcdef"
START_LIMIT_S = 30
STOP_LIMIT_S = 15


@dataclass
class Hub:
    """A running hub."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, **options) -> requests.Response:
        """Calls the API as admin. The headers of `options` win."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"} | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=20, **options)

    def output(self) -> str:
        return "".join(self.lines)


def _read(process: subprocess.Popen[str], hub: Hub, ready: threading.Event) -> None:
    """Keeps what the hub prints; the first line that names its address makes it ready."""
    assert process.stdout
    for line in process.stdout:
        hub.lines.append(line)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if found and not hub.url:
            hub.url = f"http://127.0.0.1:{found[1]}"
            ready.set()
    ready.set()


@contextlib.contextmanager
def running_hub(config: str, environment: dict[str, str] | None = None) -> Iterator[Hub]:
    """Starts a hub with this configuration, and checks at the end that it stops by itself, cleanly."""
    with tempfile.TemporaryDirectory(prefix="trunkline-interop-") as folder:
        file = pathlib.Path(folder, "trunkline.toml")
        file.write_text(config)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
        process = subprocess.Popen(
            [os.environ["TRUNKLINE_BIN"], "serve", "--config", file, "--listen", "127.0.0.1:0", "--data-dir", folder],
            env=kept | {"TRUNKLINE_ADMIN_TOKEN": ADMIN_TOKEN, "NO_COLOR": "1"} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        hub, ready = Hub(process), threading.Event()
        reader = threading.Thread(target=_read, args=(process, hub, ready), daemon=True)
        reader.start()
        try:
            ready.wait(START_LIMIT_S)
            assert hub.url, f"the hub did not start:\n{hub.output()}"
            _wait_until_ready(hub)
            yield hub
            assert process.poll() is None, f"the hub is gone:\n{hub.output()}"
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_LIMIT_S) == 0, f"the hub did not stop cleanly:\n{hub.output()}"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            reader.join(STOP_LIMIT_S)


def _wait_until_ready(hub: Hub) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        if requests.get(hub.url + "/readyz", timeout=5).status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError(f"the hub never became ready:\n{hub.output()}")

"""Calls the official JavaScript libraries: one short process a question, JSON in and out."""

from __future__ import annotations

import json
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).parent


def ask(script: str, question: dict) -> dict:
    """Runs a script of this folder and gives its answer."""
    done = subprocess.run(
        ["node", script], cwd=FOLDER, input=json.dumps(question), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

"""A server as an operator runs it, for the tests that need one: a process of its own, with Ray Serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from reward_farm.settings import FarmSettings
from serve.settings import ServeSettings

SERVER = """
import sys
from serve.errors import ServeError
from serve.run import run
from serve.settings import ServeSettings

try:
    run(ServeSettings.model_validate_json(sys.argv[1]))
except ServeError as error:
    sys.exit(f"error: {error}")
"""

ENDS_SECONDS = 60
"""Ray's agents look for their parent only now and then."""


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    url: str
    mark: str
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", headers=self.headers).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)

    def wait_idle(self) -> None:
        deadline = time.monotonic() + 60
        while self.metric("ferrotype_serve_running") + self.metric("ferrotype_serve_waiting"):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_of(model: Path, port: int, **changes: Any) -> ServeSettings:
    """Two slots and a queue of two, and a farm."""
    return ServeSettings(
        **{"model": model, "port": port, "name": "tiny", "slots": 2, "max_queue": 2, "farm": FarmSettings(), **changes}
    )


def start(model: Path, **changes: Any) -> Server:
    """Everything that the server starts inherits a mark in its environment, by which it can be found."""
    port, mark = free_port(), f"FERROTYPE_TEST={uuid.uuid4().hex}"
    key, value = mark.split("=")
    environment = {**os.environ, key: value, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, settings_of(model, port, **changes).model_dump_json()],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Server(process, f"http://127.0.0.1:{port}", mark)


def marked(mark: str) -> list[str]:
    """Command lines of the running processes that carry the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes() and (folder / "cmdline").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80])
        except OSError:
            continue
    return found


def ends(server: Server) -> None:
    """The process and all that it started are gone in time."""
    deadline = time.monotonic() + ENDS_SECONDS
    server.process.wait(ENDS_SECONDS)
    while left := marked(server.mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def started(model: Path, **changes: Any) -> Server:
    """One that answers."""
    server = start(model, **changes)
    assert server.process.stdout is not None
    line = server.process.stdout.readline()
    assert line == f"Serving tiny at {server.url}/v1 (Ctrl-C stops it)\n", line + server.process.stdout.read()
    return server


def memory_mb(server: Server) -> float:
    """Of its process and all that it started, in MB; what they share is counted once."""
    root = psutil.Process(server.process.pid)
    held = [each.memory_info() for each in (root, *root.children(recursive=True))]
    return sum(each.rss - each.shared for each in held) / 1e6

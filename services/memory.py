"""Peak memory of a process and all that it started, sampled while it runs."""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil

FIRST_SECONDS = 0.05
"""After the first sample, which may find a process that is not yet its program. Each wait is twice the one before."""
PERIOD_SECONDS = 2.0
"""Between samples in the end: reading the memory maps of a Ray cluster's processes takes about 30 ms."""


class MemoryWatch:
    """Context manager around a child's life. `now_mb` and `peak_mb` count shared pages once (PSS), in MiB."""

    def __init__(self, pid: int) -> None:
        self.now_mb = self.peak_mb = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        seconds = FIRST_SECONDS
        while True:
            self.now_mb = _tree_mb(self._pid)
            self.peak_mb = max(self.peak_mb, self.now_mb)
            if self._over.wait(seconds):
                return
            seconds = min(2 * seconds, PERIOD_SECONDS)


def _tree_mb(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total >> 20

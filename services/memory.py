"""Peak memory of a process and all that it started, sampled while it runs."""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil

PERIOD_SECONDS = 2.0
"""Between samples: reading the memory maps of a Ray cluster's processes takes about 30 ms."""


class MemoryWatch:
    """Context manager around a child's life. `peak_mb` counts shared pages once (PSS), in MiB."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0
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
        while True:
            self.peak_mb = max(self.peak_mb, _tree_mb(self._pid))
            if self._over.wait(PERIOD_SECONDS):
                return


def _tree_mb(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total >> 20

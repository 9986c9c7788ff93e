"""What a farm that is gone could have left on the machine, and how large a process is. Reads /proc; changes nothing."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb() -> float:
    """Memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def descriptors() -> int:
    """Files, pipes and sockets that this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (a Path's iterator would hold one more open)


def children() -> set[int]:
    """Processes that this one started and that are not reaped."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def left_by(scratch: Path) -> list[str]:
    """What still uses, or lies in, a farm's folder: files, mounts here, and processes in jails that see it."""
    left = [str(path) for path in scratch.iterdir()]
    mark = "/".join((*scratch.parts[-2:], ""))  # not the name alone: other sessions of tests have one of that name
    left += [f"mount: {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if mark in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            seen = (process / "mountinfo").read_text() + (process / "cmdline").read_text()
        except OSError:  # it ended, or is another user's
            continue
        if int(process.name) != os.getpid() and mark in seen:
            left.append(f"process {process.name}: {(process / 'cmdline').read_text()[:200]!r}")
    return left


def cgroups() -> set[str]:
    """Control groups that this process made, or one that is no more: those of other farms at work are theirs."""
    found = (path for path in Path("/sys/fs/cgroup").rglob("ferrotype-jail-*") if path.is_dir())
    makers = ((path, int(path.name.split("-")[3])) for path in found)
    return {str(path) for path, pid in makers if pid == os.getpid() or not Path(f"/proc/{pid}").exists()}

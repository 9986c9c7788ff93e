"""Control groups, version 1 or 2: one for each jail, with limits on memory and processes, and what it used.

They lie below this process's own group, so that limits around the farm go on to hold, and carry their maker's name:
whoever makes the next ones removes those of makers that are no more.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reward_farm.errors import SandboxFault, SandboxUnavailable
from reward_farm.layers import Layer

_NEEDED = ("memory", "pids")
_V1 = (*_NEEDED, "cpuacct")
_PREFIX = "ferrotype-jail"
_NAME = re.compile(rf"{_PREFIX}-(\d+)-(\d+)-(\d+)-\d+")
_numbers_of_groups = itertools.count()
"""One for the process: judges in several threads must not take the same name."""
_REMOVAL_SECONDS = 5.0
"""A killed process leaves its group within milliseconds, if the machine lets it run."""
_REMEDY = (
    "run the farm as root, or in a delegated group: `systemd-run --user --scope -p MemoryAccounting=yes "
    "-p TasksAccounting=yes ferrotype ...`; in a container, mount /sys/fs/cgroup writable"
)


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One jail's group: with version 1 a folder for each controller, with version 2 one folder."""

    version: int
    folders: Mapping[str, Path]

    def doors(self) -> list[Path]:
        """Files through which a process of one thread joins by writing 0."""
        # Version 1 lets a single thread in without the lock on all processes, which costs milliseconds.
        door = "tasks" if self.version == 1 else "cgroup.procs"
        return [folder / door for folder in dict.fromkeys(self.folders.values())]

    def kills(self) -> int:
        """How many processes the kernel killed because the group's memory was full."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return _numbers(self.folders["memory"] / name).get("oom_kill", 0)

    def peak_memory_mb(self) -> float | None:
        """The most that it held; None where the kernel does not say."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        try:
            return int((self.folders["memory"] / name).read_text()) / 2**20
        except OSError:
            return None

    def cpu_seconds(self) -> float:
        """Processor time of all its processes."""
        if self.version == 1:
            return int((self.folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
        return _numbers(self.folders["memory"] / "cpu.stat")["usage_usec"] / 1e6

    def remove(self) -> None:
        """Ends what still runs in it, and the group.

        Raises SandboxFault if it stays.
        """
        deadline = time.monotonic() + _REMOVAL_SECONDS
        for folder in dict.fromkeys(self.folders.values()):
            try:
                while not _removed(folder):
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"{folder}: its processes do not end")
                    time.sleep(0.001)
            except OSError as error:
                raise SandboxFault(f"a cgroup can't be removed: {error}") from error


@dataclass(frozen=True, slots=True)
class CgroupHome:
    """Where this process may make groups."""

    version: int
    parents: Mapping[str, Path]

    def make(self, memory_mb: int, processes: int) -> Cgroup:
        """A new group with these limits.

        Raises OSError.
        """
        name = f"{_PREFIX}-{_pid_namespace()}-{os.getpid()}-{_started(os.getpid())}-{next(_numbers_of_groups)}"
        group = Cgroup(self.version, {controller: parent / name for controller, parent in self.parents.items()})
        try:
            for folder in dict.fromkeys(group.folders.values()):
                folder.mkdir()
            for file, value in self._limits(memory_mb << 20, processes).items():
                _write(group.folders[file.split(".")[0]] / file, value)
            for file, value in self._swap(memory_mb << 20).items():
                with contextlib.suppress(OSError):  # a kernel without swap accounting has no such file
                    _write(group.folders["memory"] / file, value)
        except OSError:
            group.remove()
            raise
        return group

    def sweep(self) -> None:
        """Removes the groups of makers that are no more, with what still runs in them."""
        for parent in dict.fromkeys(self.parents.values()):
            for folder in parent.glob(f"{_PREFIX}-*"):
                match = _NAME.fullmatch(folder.name)
                if match is None or int(match[1]) != _pid_namespace():
                    continue
                if _started(int(match[2])) != int(match[3]):
                    with contextlib.suppress(OSError, SandboxFault):  # another sweep is at it, or it isn't ours
                        Cgroup(self.version, {"memory": folder}).remove()

    def _limits(self, memory: int, processes: int) -> dict[str, int]:
        limit = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        return {limit: memory, "pids.max": processes}

    def _swap(self, memory: int) -> dict[str, int]:
        return {"memory.memsw.limit_in_bytes": memory} if self.version == 1 else {"memory.swap.max": 0}


def find_cgroups() -> CgroupHome:
    """Where groups can be made; proves it by making one, and removes what dead makers left.

    Raises SandboxUnavailable if this process may make none.
    """
    mounts = Path("/proc/self/mountinfo").read_text()
    own = Path("/proc/self/cgroup").read_text()
    problems: list[OSError] = []
    for home in (*_version_1(mounts, own), *_version_2(mounts, own)):
        try:
            home.sweep()
            home.make(memory_mb=1, processes=1).remove()
        except OSError as error:
            problems.append(error)
        else:
            return home
    if problems:
        raise SandboxUnavailable(Layer.CGROUP, str(problems[0]), _REMEDY, problems[0].errno)
    raise SandboxUnavailable(Layer.CGROUP, "no group above this process hands on memory and pids", _REMEDY)


def _version_1(mounts: str, own: str) -> list[CgroupHome]:
    """This process's own groups, where each controller has its own tree."""
    groups = {
        controller: path
        for line in own.splitlines()
        for _, controllers, path in [line.split(":", 2)]
        for controller in controllers.split(",")
    }
    parents = {
        controller: _within(root, point, groups[controller])
        for root, point, kind, options in _mounted(mounts)
        for controller in _V1
        if kind == "cgroup" and controller in options and controller in groups
    }
    return [CgroupHome(1, parents)] if len(parents) == len(_V1) else []


def _version_2(mounts: str, own: str) -> list[CgroupHome]:
    """Groups above this process's own that hand the controllers on; its own can't, as it has processes."""
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), None)
    homes: list[CgroupHome] = []
    for root, point, kind, _ in _mounted(mounts):
        if kind != "cgroup2" or path is None:
            continue
        group = _within(root, point, path)
        for folder in (group, *group.parents):
            if not folder.is_relative_to(point):
                break
            with contextlib.suppress(OSError):
                if set(_NEEDED) <= set((folder / "cgroup.subtree_control").read_text().split()):
                    homes.append(CgroupHome(2, dict.fromkeys(_NEEDED, folder)))
    return homes


def _mounted(mounts: str) -> list[tuple[str, Path, str, list[str]]]:
    """Of each line of mountinfo: the root within its file system, the mount point, the type and the type's options."""
    found = []
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, _, options) = left.split(), right.split(maxsplit=2)
        found.append((fields[3], Path(fields[4]), kind, options.split(",")))
    return found


def _within(root: str, point: Path, group: str) -> Path:
    """A group's folder. In a container the mount's root may be the container's own group."""
    relative = group.removeprefix(root) if root != "/" else group
    return point / relative.strip("/")


def _removed(folder: Path) -> bool:
    """Whether the group is gone; if not, what runs in it was killed once more."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        return False
    return True


def _numbers(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in file.read_text().splitlines())}


def _write(file: Path, value: int) -> None:
    # Not `write_text`: a file of cgroupfs must never be created, truncated or written in two pieces.
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _started(pid: int) -> int | None:
    """When that process started, in the kernel's ticks; None if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None

"""Writes the command line that starts a program with a given set of layers. Pure; starts nothing.

    launcher (stays as supervisor) ─► bubblewrap (namespaces, mounts) ─► launcher (all else) ─► program

Without any of bubblewrap's layers one launcher does it all. A place in the jail is then a
place on the host, and every word that names one is translated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reward_farm.layers import BUBBLEWRAP, Layer

FRAMES = 3
"""The descriptor that a test server finds its frame pipe on."""
LAUNCHER = "/launch"
_NULL = "/dev/null"
_NOBODY = "65534"


@dataclass(frozen=True, slots=True)
class Inmate:
    """A program to be jailed, and all that it may have. Paths in `command` are places in the jail."""

    command: Sequence[str]
    runs: Mapping[Path, str]
    """What it may read and execute: on the host, and its place in the jail."""
    reads: Mapping[Path, str]
    writes: Mapping[Path, str]
    folder: str
    """Where it starts."""
    libraries: Path
    """Folder on the host of the shared libraries that come with it, and `library_path` where it finds them."""
    library_path: str
    limits: Mapping[int, tuple[int, int]]
    """Soft and hard, by the kernel's number of the resource."""
    filter: bytes
    memory_mb: int
    """Of the whole jail, where there is a cgroup."""
    processes: int


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What the launcher and bubblewrap are handed; -1 for what there is none of."""

    report: int
    filter: int
    status: int = -1
    lifeline: int = -1
    frames: int = -1
    doors: Sequence[int] = ()
    """Of the cgroup."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """A set of layers, and the tools that make them."""

    layers: frozenset[Layer]
    launcher: Path
    bwrap: str
    shared: Sequence[Path] = field(default=())
    """Files, at the same path in every jail: the C library."""

    @property
    def uses_bubblewrap(self) -> bool:
        """Else one launcher does everything."""
        return bool(self.layers & BUBBLEWRAP)

    def command_line(self, inmate: Inmate, fds: Descriptors) -> list[str]:
        """What is to be executed."""
        supervise = self._supervise(fds)
        launcher = LAUNCHER if Layer.FILESYSTEM in self.layers else str(self.launcher)
        program = [*self._steps(inmate, fds), "--", *self._seen(inmate, inmate.command)]
        if not self.uses_bubblewrap:
            return [launcher, *_report(fds), *supervise, *program]
        outer = [str(self.launcher), *_report(fds), *supervise, "--"] if supervise else []
        return [*outer, *self._bubblewrap(inmate, fds), launcher, *_report(fds), *program]

    def environment(self, inmate: Inmate, inherited: Mapping[str, str]) -> dict[str, str]:
        """What the program finds in its environment."""
        (path,) = self._seen(inmate, [inmate.library_path])
        return {**({} if Layer.ENVIRONMENT in self.layers else inherited), "LD_LIBRARY_PATH": path}

    def _supervise(self, fds: Descriptors) -> list[str]:
        """bubblewrap tells itself how its program ended; without it the supervisor does."""
        status = "-1" if self.uses_bubblewrap else str(fds.status)
        return ["supervise", str(fds.lifeline), status] if Layer.SUPERVISOR in self.layers else []

    def _steps(self, inmate: Inmate, fds: Descriptors) -> list[str]:
        """The launcher's steps, in the only order that works: each needs what the next takes away."""
        layers, steps = self.layers, [word for door in fds.doors for word in ("join", str(door))]
        if fds.frames >= 0:
            steps += ["move", str(fds.frames), str(FRAMES)]
        if Layer.DESCRIPTORS in layers:
            steps += ["close", str(FRAMES + 1 if fds.frames >= 0 else FRAMES)]
        if not self.uses_bubblewrap:
            steps += ["folder", *self._seen(inmate, [inmate.folder])]
        if Layer.CAPABILITIES in layers:
            steps.append("no-capabilities")
        if Layer.PRIVILEGES in layers:
            steps.append("no-new-privileges")
        if Layer.LANDLOCK in layers:
            steps += self._rules(inmate)
        if Layer.RLIMITS in layers:
            for resource, (soft, hard) in inmate.limits.items():
                steps += ["limit", str(resource), str(soft), str(hard)]
        if Layer.SECCOMP in layers:
            steps += ["seccomp", str(fds.filter)]
        return steps

    def _rules(self, inmate: Inmate) -> list[str]:
        rules = [word for path in self.shared for word in ("run", str(path))]
        for right, places in (("run", inmate.runs), ("read", inmate.reads), ("write", inmate.writes)):
            rules += [word for place in self._seen(inmate, list(places.values())) for word in (right, place)]
        return [*rules, "write", _NULL, "landlock"]

    def _bubblewrap(self, inmate: Inmate, fds: Descriptors) -> list[str]:
        layers = self.layers
        words = [self.bwrap, "--unshare-user", "--unshare-uts", "--die-with-parent"]
        words += ["--new-session", "--json-status-fd", str(fds.status)]
        namespaces = {Layer.PIDS: "pid", Layer.NETWORK: "net", Layer.IPC: "ipc"}
        words += [f"--unshare-{name}" for layer, name in namespaces.items() if layer in layers]
        if Layer.CAPABILITIES in layers:
            words += ["--cap-drop", "ALL", "--uid", _NOBODY, "--gid", _NOBODY]
        else:
            words += ["--cap-add", "ALL", "--uid", "0", "--gid", "0"]
        if Layer.ENVIRONMENT in layers:
            words += ["--clearenv", *(w for pair in self.environment(inmate, {}).items() for w in ("--setenv", *pair))]
        if Layer.FILESYSTEM not in layers:
            return [*words, "--dev-bind", "/", "/", "--chdir", *self._seen(inmate, [inmate.folder])]
        for path in self.shared:
            words += ["--ro-bind", str(path), str(path)]
        for path, place in {**inmate.runs, **inmate.reads, self.launcher: LAUNCHER}.items():
            words += ["--ro-bind", str(path), place]
        for path, place in inmate.writes.items():
            words += ["--bind", str(path), place]
        return [*words, "--dev-bind", _NULL, _NULL, "--chdir", inmate.folder, "--remount-ro", "/"]

    def _seen(self, inmate: Inmate, words: Sequence[str]) -> list[str]:
        """Words that name places in the jail, as the program must be told them."""
        if Layer.FILESYSTEM in self.layers:
            return list(words)
        places = {place: path for path, place in {**inmate.runs, **inmate.reads, **inmate.writes}.items()}
        places.setdefault(inmate.library_path, inmate.libraries)
        longest_first = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
        named = re.compile(rf"(?<![\w./-])({longest_first})(?=[/,]|$)")
        return [named.sub(lambda match: str(places[match[1]]), word) for word in words]


def _report(fds: Descriptors) -> list[str]:
    return ["report", str(fds.report)]

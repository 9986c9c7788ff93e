"""The jail: what a compiler and a test server may have, and how each is started and ended. Nothing else starts what a
candidate can touch.

Which layers a jail has is the profile's choice (`layers.py`); `probe.py` proves each of them before anything is judged.
What left a jail is believed only with a report, on a descriptor that never enters it, of how the program ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from reward_farm.cgroup import Cgroup, CgroupHome, find_cgroups
from reward_farm.confinement import Confinement, Descriptors, Inmate
from reward_farm.errors import JailNotStarted, SandboxFault, SandboxUnavailable
from reward_farm.layers import BUBBLEWRAP, ORACLE, PROFILES, WITHOUT_LANDLOCK, Layer, landlock_version
from reward_farm.scratch import scratch_root
from reward_farm.seccomp import candidate_filter, compiler_filter, server_filter
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import JAIL_SYSROOT, Toolchain

OUTPUT_LIMIT = 1 << 20
"""Bytes of diagnostics read from one rustc run; thousands of errors in a batch would cost seconds to parse."""
_PROCESSES = 64
"""Threads of one rustc and its linker, with room; a candidate's own threads are bound by its address space before."""
_SERVER_PROCESSES = 512
_SERVER_MEMORY_MB = 256
"""The test server itself with a batch loaded. What its child may have comes on top: the kernel must never choose it."""
_ENDING_SECONDS = 10.0
_NO_MEMORY = re.compile(rb"^(memory allocation of \d+ bytes failed|LLVM ERROR: out of memory)", re.MULTILINE)
"""rustc's and LLVM's last words at their limit. Candidates' text stands only within lines of JSON."""
_SIGABRT = 128 + 6


@dataclass(frozen=True, slots=True)
class Finished:
    """How a jailed program ended. `exit_code` is 128 + signal for a signal; None if it was ended from outside."""

    exit_code: int | None
    output: bytes
    """What it wrote to stderr, at most OUTPUT_LIMIT bytes."""
    flooded: bool
    late: bool
    out_of_memory: bool = False
    """Its memory limit ended it, by the kernel's or the allocator's word: evidence against the candidate."""
    peak_memory_mb: float | None = None
    """The most memory that the whole jail held; None where there is no cgroup to say so."""
    cpu_seconds: float | None = None


@dataclass(slots=True)
class Channels:
    """This side's ends of a jail's pipes; -1 for what there is none of, or no more."""

    report: int
    status: int = -1
    lifeline: int = -1
    frames: int = -1

    def close(self, *names: str) -> None:
        """Closes these, once."""
        for name in names:
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)


class Jail:
    """One running jail. Leaving the context kills what still runs in it."""

    def __init__(self, process: subprocess.Popen[bytes], channels: Channels, cgroup: Cgroup | None) -> None:
        self.process = process
        self._channels = channels
        self._cgroup = cgroup

    def __enter__(self) -> Jail:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self._channels.close("report", "status", "lifeline", "frames")
        if self._cgroup is not None:
            self._cgroup.remove()

    @property
    def frames(self) -> int:
        """Where the harness's children write their answers; -1 for a compile."""
        return self._channels.frames

    def finish(self, wall_seconds: float) -> Finished:
        """Waits for the program, reading its stderr.

        Raises JailNotStarted if it never started.
        """
        assert self.process.stderr is not None
        deadline = time.monotonic() + wall_seconds
        output, flooded, late = _read_all(self.process.stderr, deadline)
        try:
            self.process.wait(0 if flooded or late else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            late = not flooded
            self._end()
        code = None if flooded or late else self._exit_code(output)
        group = self._cgroup
        return Finished(
            code, output, flooded, late,
            out_of_memory=self.memory_kills() > 0 or (code == _SIGABRT and _NO_MEMORY.search(output) is not None),
            peak_memory_mb=group.peak_memory_mb() if group else None,
            cpu_seconds=group.cpu_seconds() if group else None,
        )  # fmt: skip

    def memory_kills(self) -> int:
        """How many of its processes the kernel killed for memory, so far; 0 where there is no cgroup to count them."""
        return self._cgroup.kills() if self._cgroup else 0

    def _end(self) -> None:
        if self._channels.lifeline >= 0:
            self._channels.close("lifeline")  # the supervisor ends everyone and itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_ENDING_SECONDS)
        self.process.kill()  # of use only without a supervisor, for canaries
        self.process.wait()

    def _exit_code(self, output: bytes) -> int:
        """What bubblewrap or the supervisor reported: they report only on a program that was started."""
        try:
            refused = os.read(self._channels.report, 4096).decode().split()
        except BlockingIOError:
            refused = []
        if refused:
            step, errno = refused
            raise JailNotStarted(step, os.strerror(int(errno)), int(errno))
        code = self.process.returncode
        if self._channels.status < 0:
            return 128 - code if code < 0 else code
        for line in os.read(self._channels.status, 4096).splitlines():
            code = json.loads(line).get("exit-code")
            if code is not None:
                return int(code)
        raise JailNotStarted("bubblewrap", output[-500:].decode(errors="replace").strip() or "no message")


class Sandbox:
    """Builds and runs jails for one toolchain. Stateless: every run is a jail of its own."""

    def __init__(self, toolchain: Toolchain, settings: FarmSettings) -> None:
        """Raises SandboxUnavailable where a layer of the profile can't be made."""
        self.toolchain = toolchain
        self.settings = settings
        self.enabled = PROFILES[settings.isolation]
        """Only ever changed by tests, which show what each layer is for."""
        self.landlock = 0
        try:
            self.landlock = landlock_version()
        except SandboxUnavailable:
            if settings.isolation != "pod":
                raise
            self.enabled = WITHOUT_LANDLOCK
        self.cgroups: CgroupHome | None = None
        try:
            self.cgroups = find_cgroups()
            self.enabled |= {Layer.CGROUP}
        except SandboxUnavailable:
            if Layer.CGROUP in self.enabled:
                raise
        self._bwrap = _find("bwrap", settings.bwrap) if self.enabled & BUBBLEWRAP else ""
        self.candidate_filter = candidate_filter()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that every jail has, as a verdict tells them."""
        detail = {Layer.LANDLOCK: f":{self.landlock}"}
        if self.cgroups is not None:
            detail[Layer.CGROUP] = f":v{self.cgroups.version}"
        return (*(f"{layer}{detail.get(layer, '')}" for layer in Layer if layer in self.enabled), ORACLE)

    def new_workspace(self) -> Path:
        """A fresh host folder for one batch's sources and output; the caller removes it."""
        return Path(tempfile.mkdtemp(prefix="batch-", dir=scratch_root(self.settings)))

    def compile(self, workspace: Path, arguments: list[str]) -> Finished:
        """Runs rustc on `/src` (the workspace's `src`, read-only), writing to `/out` (its `out`).

        It is clippy-driver where the settings ask for lints.

        Raises SandboxFault if rustc did not start.
        """
        driver = "clippy-driver" if self.settings.clippy else "rustc"
        command = [f"{JAIL_SYSROOT}/bin/{driver}", "--sysroot", JAIL_SYSROOT, *arguments]
        # A loaded machine gives a share of a core: wall time is only the bound that ends a sleeper.
        return self.run(self.compiling(workspace, command), wall_seconds=5 * self.settings.compile_cpu_seconds + 20)

    def compiling(self, workspace: Path, command: list[str]) -> Inmate:
        """A program in the compiler's place."""
        settings, toolchain = self.settings, self.toolchain
        cpu, memory = settings.compile_cpu_seconds, settings.compile_memory_mb
        return Inmate(
            command,
            runs={toolchain.sysroot: JAIL_SYSROOT},
            reads={toolchain.harness: "/harness", workspace / "src": "/src"},
            writes={workspace / "out": "/out"},
            folder="/out",
            libraries=toolchain.sysroot / "lib",
            library_path=f"{JAIL_SYSROOT}/lib",
            limits=_limits(cpu=(cpu, cpu + 1), memory_mb=memory, file_mb=64, descriptors=256),
            filter=compiler_filter(),
            memory_mb=memory,
            processes=_PROCESSES,
        )

    def run(
        self,
        inmate: Inmate,
        wall_seconds: float,
        layers: frozenset[Layer] | None = None,
        left_open: Sequence[int] = (),
    ) -> Finished:
        """Runs a program to its end. A canary gets layers of its own, and descriptors that one of them must close.

        Raises SandboxFault if it did not start.
        """
        with self._start(inmate, self.enabled if layers is None else layers, left_open=left_open) as jail:
            return jail.finish(wall_seconds)

    def serve(self, out: Path) -> Jail:
        """Starts the harness on `out/batch.so`. Jobs go to stdin, statuses come from stdout, frames from `frames`."""
        return self._start(self.serving(out, ["/server", "/job/batch.so"]), self.enabled, serve=True)

    def serving(self, out: Path, command: list[str]) -> Inmate:
        """A program in the test server's place."""
        toolchain = self.toolchain
        std = {path: f"{JAIL_SYSROOT}/{path.name}" for path in toolchain.std_dir.glob("libstd-*.so")}
        return Inmate(
            command,
            runs={**std, toolchain.harness / "rf_server": "/server"},
            reads={out: "/job"},
            writes={},
            folder="/job",
            libraries=toolchain.std_dir,
            library_path=JAIL_SYSROOT,
            limits=_limits(file_mb=0, descriptors=64),
            filter=server_filter(),
            memory_mb=self.settings.test_memory_mb + _SERVER_MEMORY_MB,
            processes=_SERVER_PROCESSES,
        )

    def _start(
        self, inmate: Inmate, layers: frozenset[Layer], serve: bool = False, left_open: Sequence[int] = ()
    ) -> Jail:
        confinement = Confinement(
            layers, self.toolchain.harness / "rf_launch", self._bwrap, tuple(self.toolchain.libraries)
        )
        ours: list[int] = []
        theirs: list[int] = []

        def pipe(ours_reads: bool = True) -> tuple[int, int]:
            """This side's end of a new pipe, and the jail's."""
            reading, writing = os.pipe()
            near, far = (reading, writing) if ours_reads else (writing, reading)
            ours.append(near)
            theirs.append(far)
            return near, far

        group: Cgroup | None = None
        doors: list[int] = []
        try:
            report, report_in = pipe()
            os.set_blocking(report, False)
            code_in, code = pipe(ours_reads=False)
            os.write(code_in, inmate.filter)  # about 2 KB: fits any pipe
            os.close(ours.pop())
            supervised = Layer.SUPERVISOR in layers
            status, status_in = pipe() if confinement.uses_bubblewrap or supervised else (-1, -1)
            lifeline, lifeline_out = pipe(ours_reads=False) if supervised else (-1, -1)
            frames, frames_in = pipe() if serve else (-1, -1)
            if Layer.CGROUP in layers and self.cgroups is not None:
                group = self.cgroups.make(inmate.memory_mb, inmate.processes)
                doors = [os.open(door, os.O_WRONLY | os.O_CLOEXEC) for door in group.doors()]
                theirs += doors
            fds = Descriptors(report_in, code, status_in, lifeline_out, frames_in, doors)
            process = subprocess.Popen(
                confinement.command_line(inmate, fds),
                stdin=subprocess.PIPE if serve else subprocess.DEVNULL,
                stdout=subprocess.PIPE if serve else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if serve else subprocess.PIPE,
                pass_fds=(*theirs, *left_open),
                bufsize=0,
                env=confinement.environment(inmate, os.environ),
            )
        except OSError as error:
            for fd in ours:
                os.close(fd)
            if group is not None:
                group.remove()
            raise SandboxFault(f"a jail could not be started: {error}") from error
        finally:
            for fd in theirs:
                os.close(fd)
        return Jail(process, Channels(report, status, lifeline, frames), group)


def _limits(
    file_mb: int, descriptors: int, cpu: tuple[int, int] | None = None, memory_mb: int | None = None
) -> dict[int, tuple[int, int]]:
    both: dict[int, int] = {
        resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: file_mb << 20, resource.RLIMIT_NOFILE: descriptors
    }  # fmt: skip
    if memory_mb is not None:
        both[resource.RLIMIT_AS] = memory_mb << 20
    limits = {number: (value, value) for number, value in both.items()}
    return limits if cpu is None else {**limits, resource.RLIMIT_CPU: cpu}


def _find(name: str, configured: str | None) -> str:
    found = shutil.which(configured or name)
    if found is None:
        raise SandboxUnavailable("bubblewrap", f"`{configured or name}` was not found", "apt-get install bubblewrap")
    return found


def _read_all(stream: IO[bytes], deadline: float) -> tuple[bytes, bool, bool]:
    """What the stream holds up to its end, OUTPUT_LIMIT bytes (second value) or the deadline (third)."""
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(output) < OUTPUT_LIMIT:
            if not selector.select(deadline - time.monotonic()):
                return bytes(output), False, True
            piece = stream.read(1 << 16)
            if not piece:
                return bytes(output), False, False
            output += piece
    return bytes(output), True, False

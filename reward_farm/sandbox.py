"""The jail: how bubblewrap is called to compile a batch and to run one. Nothing else starts what a candidate can touch.

A jail has its own user, PID, mount, network, IPC and UTS namespaces, no capabilities, no /proc, /etc, /bin or
devices but /dev/null, no environment but the library path, limits on CPU, memory and file size, and a seccomp filter.
What left the jail is believed only with bubblewrap's own report, on a descriptor that never enters it, that the program
started.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from reward_farm.errors import SandboxFault, SandboxUnavailable
from reward_farm.seccomp import candidate_filter, jail_filter
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import JAIL_SYSROOT, Toolchain

LAYERS = ("bubblewrap", "namespaces", "empty-filesystem", "no-capabilities", "rlimits", "seccomp", "oracle-outside")
OUTPUT_LIMIT = 1 << 20
"""Bytes of diagnostics read from one rustc run; thousands of errors in a batch would cost seconds to parse."""
_NOBODY = "65534"


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


class Jail:
    """One running jail. Leaving the context kills what still runs in it."""

    def __init__(self, process: subprocess.Popen[bytes], report: int, frames: int) -> None:
        self.process = process
        self.frames = frames
        """Where the harness's children write their answers; -1 for a compile."""
        self._report = report

    def __enter__(self) -> Jail:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # --die-with-parent ends the PID namespace with it
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        os.close(self._report)
        if self.frames >= 0:
            os.close(self.frames)

    def finish(self, wall_seconds: float) -> Finished:
        """Waits for the program, reading its stderr. Raises SandboxFault if it never started."""
        assert self.process.stderr is not None
        output, flooded, late = _read_all(self.process.stderr, time.monotonic() + wall_seconds)
        if flooded or late:
            self.process.kill()
        self.process.wait()
        code = None if flooded or late else self._exit_code()
        if code is None and not (flooded or late):
            said = output[-500:].decode(errors="replace").strip()
            raise SandboxFault(f"the jail did not start: {said or 'no message'}")
        return Finished(code, output, flooded, late)

    def _exit_code(self) -> int | None:
        """What bubblewrap itself reported; it reports only for a program that was started."""
        for line in os.read(self._report, 4096).splitlines():
            code = json.loads(line).get("exit-code")
            if code is not None:
                return int(code)
        return None


class Sandbox:
    """Builds and runs jails for one toolchain. Stateless: every run is a jail of its own."""

    def __init__(self, toolchain: Toolchain, settings: FarmSettings) -> None:
        """Raises SandboxUnavailable where bubblewrap or prlimit is missing."""
        self.toolchain = toolchain
        self.settings = settings
        self.layers: tuple[str, ...] = LAYERS
        """Names of the layers that every jail has, as a verdict tells them."""
        self._bwrap = _find("bwrap", settings.bwrap, "bubblewrap", "apt-get install bubblewrap")
        self._prlimit = _find("prlimit", None, "rlimits", "apt-get install util-linux")
        self._filter = jail_filter()
        self.candidate_filter = candidate_filter()

    def new_workspace(self) -> Path:
        """A fresh host folder for one batch's sources and output; the caller removes it."""
        scratch = self.settings.scratch_dir or (Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None)
        return Path(tempfile.mkdtemp(prefix="ferrotype-farm-", dir=scratch))

    def compile(self, workspace: Path, arguments: list[str]) -> Finished:
        """Runs rustc on `/src` (the workspace's `src`, read-only), writing to `/out` (its `out`).

        It is clippy-driver where the settings ask for lints.
        Raises SandboxFault if rustc did not start.
        """
        settings, toolchain = self.settings, self.toolchain
        cpu = settings.compile_cpu_seconds
        binds = _read_only({toolchain.sysroot: JAIL_SYSROOT, toolchain.harness: "/harness", workspace / "src": "/src"})
        binds += ["--bind", str(workspace / "out"), "/out", "--dev-bind", "/dev/null", "/dev/null", "--chdir", "/out"]
        driver = "clippy-driver" if settings.clippy else "rustc"
        command = [f"{JAIL_SYSROOT}/bin/{driver}", "--sysroot", JAIL_SYSROOT, *arguments]
        limits = {"cpu": f"{cpu}:{cpu + 1}", "as": settings.compile_memory_mb << 20, "fsize": 64 << 20, "nofile": 256}
        with self._start(binds, f"{JAIL_SYSROOT}/lib", command, limits) as jail:
            # A loaded machine gives a share of a core: wall time is only the bound that ends a sleeper.
            return jail.finish(wall_seconds=5 * cpu + 20)

    def serve(self, out: Path) -> Jail:
        """Starts the harness on `out/batch.so`. Jobs go to stdin, statuses come from stdout, frames from `frames`."""
        toolchain = self.toolchain
        std = {path: f"{JAIL_SYSROOT}/{path.name}" for path in toolchain.std_dir.glob("libstd-*.so")}
        binds = _read_only({**std, toolchain.harness / "rf_server": "/server", out: "/job"})
        limits = {"fsize": 0, "nofile": 64}
        return self._start(binds, JAIL_SYSROOT, ["/server"], limits, serve=True)

    def _start(
        self, binds: list[str], library_path: str, command: list[str], limits: Mapping[str, object], serve: bool = False
    ) -> Jail:
        status_out, status_in = os.pipe()
        frames_out, frames_in = os.pipe() if serve else (-1, -1)
        code_out, code_in = os.pipe()
        os.write(code_in, self._filter)  # about 1 KB: fits any pipe
        os.close(code_in)
        libraries = _read_only({path: str(path) for path in self.toolchain.libraries})
        argv = [
            self._prlimit, "--core=0", *(f"--{name}={value}" for name, value in limits.items()), "--",
            self._bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
            "--uid", _NOBODY, "--gid", _NOBODY, "--setenv", "LD_LIBRARY_PATH", library_path,
            *libraries, *binds, "--remount-ro", "/",
            "--seccomp", str(code_out), "--json-status-fd", str(status_in), *command,
        ]  # fmt: skip
        pass_fds = [code_out, status_in]
        try:
            if serve:
                pass_fds.append(frames_in)
                argv.append(str(frames_in))
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if serve else subprocess.DEVNULL,
                stdout=subprocess.PIPE if serve else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if serve else subprocess.PIPE,
                pass_fds=pass_fds,
                bufsize=0,
                env={},
            )
        except OSError as error:
            for fd in (status_out, frames_out):
                if fd >= 0:
                    os.close(fd)
            raise SandboxFault(f"bubblewrap could not be started: {error}") from error
        finally:
            for fd in (code_out, status_in, frames_in):
                if fd >= 0:
                    os.close(fd)
        return Jail(process, status_out, frames_out)


def _read_only(paths: Mapping[Path, str]) -> list[str]:
    return [argument for path, inside in paths.items() for argument in ("--ro-bind", str(path), inside)]


def _find(name: str, configured: str | None, layer: str, remedy: str) -> str:
    found = shutil.which(configured or name)
    if found is None:
        raise SandboxUnavailable(layer, f"`{configured or name}` was not found", remedy)
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

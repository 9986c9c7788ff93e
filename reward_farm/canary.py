"""Proves each layer of a sandbox by itself: a trusted program tries what the layer must refuse, with that layer alone.

Layers overlap on purpose, so that an attack refused by all of them together would prove none.
"""

from __future__ import annotations

import ctypes
import os
import resource
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from reward_farm.confinement import Inmate
from reward_farm.errors import JailNotStarted, SandboxUnavailable
from reward_farm.layers import BUBBLEWRAP, Layer
from reward_farm.sandbox import Finished, Sandbox
from reward_farm.seccomp import compiler_filter, server_filter

_CANARY = "/canary"
_WALL_SECONDS = 10.0
_MEMORY_MB, _PROCESSES, _FILE_BYTES = 16, 8, 1 << 16
"""The canary's limits: small, so that meeting them takes no time."""
_IPC_PRIVATE_KEYS = 1 << 30

_NAMESPACES = (
    "allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, and in AppArmor systems "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`), or run where they are allowed; "
    'in a pod that is a sandbox itself, set `isolation = "pod"`'
)
_REMEDIES = {
    **dict.fromkeys(BUBBLEWRAP, _NAMESPACES),
    Layer.LANDLOCK: "use Linux 5.19 or newer with `landlock` in the kernel's `lsm=` list",
    Layer.SECCOMP: "use a kernel with CONFIG_SECCOMP_FILTER, and a container runtime that does not refuse seccomp(2)",
    Layer.CGROUP: "run the farm as root, or in a delegated group",
}

Attacks = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Bait:
    """Things of the host that no jail may reach: a file, a port, a socket, shared memory, a process, a descriptor."""

    workspace: Path
    secret: Path = field(init=False)
    name: str = field(init=False)
    key: int = field(init=False)
    _port: socket.socket = field(init=False)
    _abstract: socket.socket = field(init=False)
    _shared: int = field(init=False)
    descriptor: int = field(init=False)

    def __enter__(self) -> Bait:
        for folder in ("src", "out"):
            (self.workspace / folder).mkdir()
        self.secret = self.workspace / "secret"
        self.secret.write_text("secret")
        self.name = f"ferrotype-{secrets.token_hex(8)}"
        self._port = socket.create_server(("127.0.0.1", 0))
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind(f"\0{self.name}")
        self._abstract.listen()
        self.key = secrets.randbelow(_IPC_PRIVATE_KEYS) + 1
        self._shared = _libc().shmget(self.key, 4096, 0o1600)
        self.descriptor = os.open("/dev/null", os.O_WRONLY)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)
        _libc().shmctl(self._shared, 0, None)
        self._abstract.close()
        self._port.close()

    @property
    def port(self) -> str:
        """Where it listens."""
        return str(self._port.getsockname()[1])


def attacks(bait: Bait, landlock: int) -> Mapping[Layer, Attacks]:
    """What each layer must refuse by itself. Landlock's later versions refuse more."""
    read, tcp = ("read", str(bait.secret)), ("tcp", bait.port)
    abstract, signal = ("abstract", bait.name), ("signal", str(os.getpid()))
    return {
        Layer.FILESYSTEM: (read, ("list", "/proc"), ("write", "/src/written")),
        Layer.PIDS: (signal, ("linger", "-")),
        Layer.NETWORK: (tcp, abstract),
        Layer.IPC: (("shared", str(bait.key)),),
        Layer.CAPABILITIES: (("host-name", "-"),),
        Layer.PRIVILEGES: (("new-privileges", "-"),),
        Layer.SUPERVISOR: (("linger", "-"),),
        Layer.CGROUP: (("processes", str(2 * _PROCESSES)), ("memory", str(4 * _MEMORY_MB))),
        Layer.RLIMITS: (("memory", str(4 * _MEMORY_MB)), ("grow", "/out/grown")),
        Layer.LANDLOCK: (
            read, ("write", "/src/written"), ("list", "/proc"), ("run", "/harness/rf_launch"),
            *((tcp,) if landlock >= 4 else ()), *((abstract, signal) if landlock >= 6 else ()),
        ),
        Layer.SECCOMP: (("user-namespace", "-"), ("shared", str(bait.key)), tcp, abstract),
        Layer.ENVIRONMENT: (("environment", "-"),),
        Layer.DESCRIPTORS: (("descriptor", str(bait.descriptor)),),
    }  # fmt: skip


def released(
    sandbox: Sandbox, bait: Bait, tries: Attacks, layers: frozenset[Layer], filter: bytes = b""
) -> tuple[str, str] | None:
    """Sets the canary free with these layers; returns the attack that got through, if any did.

    Raises SandboxFault if it could not be started so.
    """
    words = [word for attack in tries for word in attack]
    place = sandbox.compiling(bait.workspace, [_CANARY, *words])
    limits = {resource.RLIMIT_AS: 2 * _MEMORY_MB << 20, resource.RLIMIT_FSIZE: _FILE_BYTES}
    inmate: Inmate = replace(
        place,
        runs={**place.runs, sandbox.toolchain.harness / "rf_canary": _CANARY},
        limits={**place.limits, **{number: (value, value) for number, value in limits.items()}},
        filter=filter or place.filter,
        memory_mb=_MEMORY_MB,
        processes=_PROCESSES,
    )
    finished = sandbox.run(inmate, _WALL_SECONDS, layers, left_open=[bait.descriptor])
    return _got_through(finished, tries)


def prove(sandbox: Sandbox) -> None:
    """Every enabled layer alone, then all of them together, as the compiler's jail has them and as the server's.

    Raises SandboxUnavailable for a layer that can't be made or does not hold.
    """
    workspace = sandbox.new_workspace()
    try:
        with Bait(workspace) as bait:
            by_layer = attacks(bait, sandbox.landlock)
            for layer in Layer:
                if layer in sandbox.enabled:
                    _prove(sandbox, bait, _alone(layer), {layer: by_layer[layer]})
            together = {layer: by_layer[layer] for layer in Layer if layer in sandbox.enabled - _KILLING}
            for filter in (compiler_filter(), server_filter()):
                _prove(sandbox, bait, sandbox.enabled, together, filter)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


_KILLING = frozenset({Layer.CGROUP, Layer.PIDS, Layer.SUPERVISOR})
"""Layers whose attacks end the canary or outlive it: those are tried with nothing after them."""


def _alone(layer: Layer) -> frozenset[Layer]:
    """The layer, and what it can't be had without: the kernel takes both of these only from who gives up privileges."""
    return frozenset({layer, Layer.PRIVILEGES} if layer in (Layer.LANDLOCK, Layer.SECCOMP) else {layer})


def _prove(
    sandbox: Sandbox, bait: Bait, layers: frozenset[Layer], by_layer: Mapping[Layer, Attacks], filter: bytes = b""
) -> None:
    """Tries all these layers' attacks with `layers` alone."""
    tries = tuple(attack for attacks in by_layer.values() for attack in attacks)
    owners = [layer for layer, attacks in by_layer.items() for _ in attacks]
    try:
        through = released(sandbox, bait, tries, layers, filter)
    except JailNotStarted as error:
        remedy = _REMEDIES.get(owners[0], "run `ferrotype doctor`")
        raise SandboxUnavailable(owners[0], f"{error.step}: {error.detail}", remedy, error.errno) from error
    if through is not None:
        layer = owners[tries.index(through)]
        raise SandboxUnavailable(layer, f"a canary got through ({' '.join(through)})", "do not train on this machine")


def _got_through(finished: Finished, tries: Attacks) -> tuple[str, str] | None:
    if finished.out_of_memory or finished.exit_code == 0:
        return None
    if finished.late:
        return tries[-1]
    place = finished.exit_code or 0
    # Ended in a way that the canary has no code for: it could not try them all.
    return tries[place - 1] if place <= len(tries) else tries[0]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

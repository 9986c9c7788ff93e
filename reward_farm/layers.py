"""The layers of the sandbox by name, and which of them each profile has. Asks the kernel only for Landlock."""

from __future__ import annotations

import ctypes
import os
from enum import StrEnum

from reward_farm.errors import SandboxUnavailable

_LANDLOCK_CREATE_RULESET = 444
_ASK_VERSION = 1
OLDEST_LANDLOCK = 2
"""The first that lets a compiler rename from one folder to another."""


class Layer(StrEnum):
    """One thing that stands between a candidate and the machine."""

    FILESYSTEM = "private-filesystem"
    """A mount namespace with toolchain, sources and output alone; read-only but for a compile's output."""
    PIDS = "pid-namespace"
    """Sees no process but its own, and all of them end with the first."""
    NETWORK = "network-namespace"
    IPC = "ipc-namespace"
    CAPABILITIES = "no-capabilities"
    PRIVILEGES = "no-new-privileges"
    SUPERVISOR = "supervisor"
    """A parent that ends every descendant, whatever ends first: the program, the farm, or bubblewrap half-way."""
    CGROUP = "cgroup"
    """Memory and processes of the whole jail, limited and counted."""
    RLIMITS = "rlimits"
    LANDLOCK = "landlock"
    """Files by path, no TCP, and no signal or abstract socket to the outside: as much as the kernel knows."""
    SECCOMP = "seccomp"
    ENVIRONMENT = "empty-environment"
    DESCRIPTORS = "closed-descriptors"


ORACLE = "oracle-outside"
"""Not a matter of jails, and so of every profile: expected answers never enter one."""
BUBBLEWRAP = frozenset({Layer.FILESYSTEM, Layer.PIDS, Layer.NETWORK, Layer.IPC})
"""What only bubblewrap can do: without all of them the launcher works alone."""
_LAUNCHER = frozenset({
    Layer.CAPABILITIES, Layer.PRIVILEGES, Layer.SUPERVISOR, Layer.RLIMITS, Layer.LANDLOCK, Layer.SECCOMP,
    Layer.ENVIRONMENT, Layer.DESCRIPTORS,
})  # fmt: skip
PROFILES = {
    "standard": BUBBLEWRAP | _LAUNCHER,
    "strict": BUBBLEWRAP | _LAUNCHER | {Layer.CGROUP},
    "pod": _LAUNCHER,
}
"""What must hold. A cgroup is added wherever one can be made."""
WITHOUT_LANDLOCK = BUBBLEWRAP | _LAUNCHER - {Layer.LANDLOCK}
"""Of a pod whose kernel has no Landlock. gVisor's is such a one, and lets everybody make namespaces inside."""


def landlock_version() -> int:
    """The version of Landlock's interface that the kernel has.

    Raises SandboxUnavailable if it has none, or one too old.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_ASK_VERSION))
    if version < OLDEST_LANDLOCK:
        errno = ctypes.get_errno() if version < 0 else None
        detail = os.strerror(errno) if errno is not None else f"the kernel has version {version} of it"
        raise SandboxUnavailable(
            Layer.LANDLOCK, detail, "use Linux 5.19 or newer with `landlock` in the kernel's `lsm=` list", errno
        )
    return int(version)

"""Environment variables that libraries read when they are imported: set once, at the start of a process of ours.

What the operator has set stays.
"""

from __future__ import annotations

import os
import secrets

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
"""Nothing is reported to anybody and nothing fetched from a model hub."""


def prepare(*, client: bool = False) -> None:
    """Complete this process's environment, before torch, vllm or ray are imported.

    A `client` only talks to somebody's cluster, with that cluster's token; it starts none.
    """
    ours = dict(QUIET)
    if not client and not os.environ.get("RAY_ADDRESS"):
        # Without it Ray binds the machine's own address, whatever it is told.
        ours["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # A token of our own: else Ray leaves one in the home folder, and every later cluster of this user demands it.
        ours |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in ours.items():
        os.environ.setdefault(name, value)


def threads(alone: bool) -> dict[str, str]:
    """OpenMP's variables for a phase. `alone`: nothing else computes meanwhile."""
    # Beside Ray, vLLM and rustc a second thread only spins for a busy core; alone, every core counts.
    count = os.cpu_count() or 1 if alone else 1
    return {"OMP_NUM_THREADS": str(count), "GOMP_SPINCOUNT": "1000", "TOKENIZERS_PARALLELISM": str(alone).lower()}

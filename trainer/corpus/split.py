"""Which crates are held out for validation. Pure; whole crates only, so that no crate is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def validation_crates(crate_bytes: Mapping[str, int], share: float) -> frozenset[str]:
    """Crates for validation: taken in the order of their names' hashes while they fit into `share` of all bytes.

    With two crates or more at least one, the smallest, is held out; with one crate none can be. Deterministic: the
    same crates give the same split on every machine.
    """
    if share <= 0 or len(crate_bytes) < 2:
        return frozenset()
    budget = share * sum(crate_bytes.values())
    held: set[str] = set()
    for crate in sorted(crate_bytes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if crate_bytes[crate] <= budget:
            held.add(crate)
            budget -= crate_bytes[crate]
    return frozenset(held or {min(crate_bytes, key=lambda name: (crate_bytes[name], name))})

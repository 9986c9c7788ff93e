"""Running out of memory, which a step survives by being done again in smaller pieces."""

from __future__ import annotations

import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation failed, on a GPU or in the CPU's allocator."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def free_cached_memory() -> None:
    """Give back what torch keeps for itself on the GPU: pieces of other sizes would not fit into it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

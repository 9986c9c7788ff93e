"""How long generations took: mean, middle and tail. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict


class Latency(BaseModel):
    """Milliseconds a generation."""

    model_config = ConfigDict(frozen=True)

    mean_ms: float
    p50_ms: float
    p95_ms: float
    count: int


def latency(milliseconds: Sequence[float]) -> Latency | None:
    """Of those that were measured; None if none was."""
    measured = [each for each in milliseconds if each > 0]
    if not measured:
        return None
    middle, tail = np.quantile(measured, (0.5, 0.95))
    return Latency(mean_ms=float(np.mean(measured)), p50_ms=float(middle), p95_ms=float(tail), count=len(measured))

"""Settings of the reward farm. Imports neither torch nor ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RewardWeights(BaseModel):
    """Points of each part of the reward (design, section 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    parses: float = 4.0
    compiles: float = 6.0
    no_warnings: float = 1.0
    per_warning: float = 0.25
    test_share: float = 8.0
    all_tests: float = 4.0
    docs: float = 1.5
    error_handling: float = 2.0
    idioms: float = 2.0
    complexity: float = 1.5


class FarmSettings(BaseModel):
    """How candidates are judged, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    workers: int = Field(default=1, ge=1)
    """Ray actors that compile. One a core is the most that helps."""
    max_batch: int = Field(default=16, ge=1, le=64)
    """Candidates compiled as modules of one crate. Batches of 16 cost a fifth of singles, larger ones gain little."""
    max_queue: int = Field(default=4096, ge=1)
    """Submissions waiting in the farm; past it `judge` refuses with `Overloaded`."""
    max_source_bytes: int = Field(default=32 * 1024, ge=256)
    edition: str = "2021"
    compile_cpu_seconds: int = Field(default=10, ge=1)
    compile_memory_mb: int = Field(default=3072, ge=256)
    test_cpu_seconds: int = Field(default=2, ge=1)
    test_memory_mb: int = Field(default=512, ge=32)
    rustc: str | None = None
    """Path of the real rustc; None asks `rustup which rustc`, then PATH."""
    weights: RewardWeights = RewardWeights()

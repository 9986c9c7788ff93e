"""Settings of the reward farm. Imports neither torch nor ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

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
    node_resource: str | None = Field(default=None, min_length=1)
    """A custom resource of Ray of which each worker takes 1: then workers run only on nodes that have it, and an
    autoscaler starts such nodes for them. None lets them run anywhere."""
    start_seconds: float = Field(default=120.0, gt=0)
    """Longest start of a worker: Python, Ray and the sandbox's canary on a busy machine, and a node that is started
    for it."""
    max_batch: int = Field(default=32, ge=1, le=64)
    """Candidates compiled as modules of one crate. Each doubling from 16 to 64 gave a quarter to a half more verdicts a
    second (`python -m benchmarks.reward_farm --batch`), and makes one that crashes rustc dearer for those beside it."""
    max_queue: int = Field(default=4096, ge=1)
    """Submissions waiting in the farm; past it `judge` refuses with `Overloaded`."""
    deadline_seconds: float | None = Field(default=None, gt=0)
    """Longest wait for one verdict where the caller names none, queue included; past it `DeadlineExceeded`."""
    remember_ids: int = Field(default=4096, ge=0)
    """Answered ids that the pool remembers: such an id gets its verdict again, and with another text `IdConflict`."""
    recycle_after: int = Field(default=10_000, ge=1)
    """Submissions after which a worker is replaced by a fresh process, so that no leak lasts."""
    canary_seconds: float = Field(default=120.0, gt=0)
    """Between two proofs of a busy worker: its sandbox's canaries, an honest answer and hostile ones. Half a second."""
    max_fault_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the last verdicts that may be faults of ours; past it the circuit breaker opens (`BreakerOpen`)."""
    breaker_seconds: float = Field(default=30.0, gt=0)
    """How long an open breaker refuses everything before it lets one admission through as a trial."""
    max_source_bytes: int = Field(default=32 * 1024, ge=256)
    edition: str = "2021"
    clippy: bool = False
    """Lint as well: clippy-driver takes rustc's place, at half as much again a batch."""
    isolation: Literal["standard", "strict", "pod"] = "standard"
    """Which layers must hold. `standard`: namespaces, Landlock, seccomp and rlimits; cgroups where we may make them.
    `strict`: cgroups too. `pod`: no namespaces, for pods that forbid them; but in place of Landlock where the
    kernel has none, as gVisor's."""
    compile_cpu_seconds: int = Field(default=4, ge=1)
    """CPU time of one rustc run, a batch or a single. Sixteen small functions take a third of a second."""
    compile_memory_mb: int = Field(default=3072, ge=256)
    test_cpu_seconds: float = Field(default=0.5, gt=0, le=60)
    """CPU time of one case. The first case that exceeds it ends its candidate's cases: an endless loop costs once."""
    test_memory_mb: int = Field(default=512, ge=32)
    cache_size: int = Field(default=4096, ge=0)
    """Verdicts that a worker remembers, by source and problem."""
    rustc: str | None = None
    """Path of the real rustc; None asks `rustup which rustc`, then PATH."""
    bwrap: str | None = None
    """Path of bubblewrap; None looks in PATH."""
    cache_dir: Path = Field(default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "ferrotype")
    """Where the compiled test harness is kept, by toolchain."""
    scratch_dir: Path | None = None
    """Where batches are compiled, a few MB at a time; None takes /dev/shm, else the system's temporary folder."""
    weights: RewardWeights = RewardWeights()

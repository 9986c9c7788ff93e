"""What tests of several packages share: one small Ray cluster for all that run in pytest's own process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Read when Ray and its actors start, so before any test imports them.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    VLLM_NO_USAGE_STATS="1",
    DO_NOT_TRACK="1",
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Ray on this machine's loopback address, in bounds."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, logging_level="ERROR")
    yield
    ray.shutdown()

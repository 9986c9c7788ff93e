"""What tests of several packages share: one small Ray cluster a process of tests, and who of them runs beside whom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from services.environment import prepare

# Before any test imports Ray, which reads its token once: a command that a test runs in this process then keeps it.
prepare()
os.environ["OMP_NUM_THREADS"] = "1"

TOGETHER = ("tests/rollout/", "tests/serve/")
"""Folders whose tests share engines that take long to start. Elsewhere a file's tests run in one process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: begun last, one would keep a core busy while the other has nothing left."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Not `--dist=loadgroup`: what pytest-xdist 3.8 writes into a test's name is not read by pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next(filter(nodeid.startswith, TOGETHER), nodeid.split("::")[0])

    return Together(config, log)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Ray on this machine's loopback address, in bounds."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        resources={"compiler": 1},
        include_dashboard=False,
        object_store_memory=100 << 20,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()

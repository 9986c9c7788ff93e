"""Every metric that any role exports, by name: dashboards are built from these declarations and checked against them.

Sets no metric: each package sets its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Protocol

PACKAGES = ("reward_farm.metrics", "rollout.metrics", "trainer.grpo.metrics", "serve.metrics")

RAY_PREFIX = "ray_"
"""Ray's agents put it before every name that they export."""

_NAMES = re.compile(r"\b(?:ray_)?ferrotype_\w+")
_HISTOGRAM_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


class Declared(Protocol):
    """What each package's `Metric` has in common."""

    @property
    def name(self) -> str:
        """Without Ray's prefix."""
        ...

    @property
    def kind(self) -> str:
        """counter, gauge or histogram."""
        ...

    @property
    def help(self) -> str:
        """What it is, in a sentence."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """Labels."""
        ...


def declared() -> dict[str, Declared]:
    """All declarations by name. Imports every package."""
    return {metric.name: metric for package in PACKAGES for metric in import_module(package).METRICS}


def undeclared(promql: str, known: dict[str, Declared]) -> Iterator[str]:
    """Names of ours in a query that nothing exports: those of no metric, and parts of a histogram that is none."""
    for found in _NAMES.findall(promql):
        name = found.removeprefix(RAY_PREFIX)
        base = _HISTOGRAM_SUFFIX.sub("", name)
        whole = name in known and known[name].kind != "histogram"
        part = base != name and base in known and known[base].kind == "histogram"
        if not (whole or part):
            yield found

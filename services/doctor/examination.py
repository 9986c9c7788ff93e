"""All checks of a machine, each in its own right: one failure doesn't hide another. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from services.config import RunConfig
from services.doctor import farm, hardware, leftovers, software
from services.doctor.check import Check, Health
from services.errors import MachineError, explain


def examine(config: RunConfig, folder: Path) -> list[Check]:
    """What a run of `config` in `folder` would find. Takes some seconds: the sandbox is tried, and a program judged."""
    checks: Iterable[tuple[str, Callable[[], Check]]] = (
        ("python", software.python),
        ("packages", software.packages),
        ("engine", software.engine),
        ("rustc", lambda: farm.rustc(config)),
        ("sandbox", lambda: farm.sandbox(config)),
        ("judge", lambda: farm.judge(config)),
        ("model", lambda: software.model(config)),
        ("processor", hardware.processor),
        ("memory", hardware.memory),
        ("shared memory", lambda: hardware.shared_memory(config)),
        ("disk", lambda: hardware.disk(folder)),
        ("open files", hardware.open_files),
        ("ports", lambda: hardware.ports(config)),
        ("gpu", lambda: hardware.gpu(config)),
        ("processes", leftovers.processes),
        ("files", leftovers.files),
    )
    return [_safely(name, check) for name, check in checks]


def require(checks: Iterable[Check]) -> None:
    """Nothing, if a run can work here.

    Raises:
        MachineError: with a line for each thing that is missing.
    """
    if missing := [check for check in checks if check.health is Health.MISSING]:
        lines = [f"{check.name}: {check.found}. {check.remedy}".rstrip() for check in missing]
        raise MachineError("this machine can't run the pipeline yet:\n  " + "\n  ".join(lines))


def _safely(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        return Check(name, Health.MISSING, explain(error) or f"{type(error).__name__}: {error}")

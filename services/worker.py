"""The process of one phase: `python -m services.worker PHASE RUN_DIR EVENT_FD`. Its parent is the pipeline.

Turns whatever happens into one last event, and never outlives its parent.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from services.config import RunConfig
from services.environment import prepare
from services.errors import explain
from services.events import Done, Failed, Reporter
from services.run_folder import RunFolder

PR_SET_PDEATHSIG = 1


class PhaseModule(Protocol):
    """What a file in services/phases offers."""

    def run(self, run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
        """Do the phase, going on from what is on disk; return its summary, which must be JSON."""
        ...


def main(name: str, root: Path, descriptor: int) -> int:
    """Run one phase and report its end. Returns the exit code."""
    die_with_parent()
    prepare()
    faulthandler.enable()
    run = RunFolder(root)
    return report(lambda reporter: _phase(name).run(run, run.config(), reporter), descriptor)


def report(work: Callable[[Reporter], dict[str, object]], descriptor: int) -> int:
    """Do `work`, and tell the supervisor at the other end of `descriptor` what comes of it. Returns the exit code."""
    # Processes that the phase starts must not hold the pipe: the parent reads until it closes.
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, "w") as stream:
        reporter = Reporter(stream)
        signal.signal(signal.SIGTERM, lambda *_: reporter.ask_to_stop())
        try:
            reporter.send(Done(work(reporter)))
        except BaseException as error:
            traceback.print_exc()
            message = explain(error) or f"a fault in the program: {type(error).__name__}: {error}"
            reporter.send(Failed(message, restart=_new_process_helps(error)))
            return 1
    return 0


def _phase(name: str) -> PhaseModule:
    return cast(PhaseModule, import_module(f"services.phases.{name}"))


def _new_process_helps(error: BaseException) -> bool:
    """Memory ran out, or something of the phase died: the supervisor lets another process go on from the checkpoint."""
    return getattr(error, "new_process_helps", "OutOfMemory" in type(error).__name__)


def die_with_parent() -> None:
    """SIGKILL for us when the pipeline dies, so that no orphan writes into a run that was started again."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))

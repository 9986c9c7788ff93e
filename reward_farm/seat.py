"""A worker's place in the pool: start it, give it work, prove it, replace it. All of Ray's errors end here.

Its process may be another one tomorrow; who holds the seat sees that only as `WorkerDied`. Decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from reward_farm.errors import FarmError, SandboxFault, SandboxUnavailable
from reward_farm.health import canaries, complaint
from reward_farm.problem import Submission
from reward_farm.scratch import sweep
from reward_farm.verdict import InfraFault
from reward_farm.worker import Judged

RESTART_POLL_SECONDS = 0.2
BATCH_SECONDS = 600.0
"""A batch in which every member runs into its limits, one by one, ends within it."""
CHECK_SECONDS = 60.0
"""A second of work, on a busy machine."""
RETIRE_SECONDS = 2.0
"""For a worker to tidy up; one that is judging does not hear of it, and is swept up after."""


class WorkerDied(Exception):
    """The worker's process ended, hangs, or failed in a way that is no verdict. `why` is a metric's label."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(f"the worker failed: {detail[-300:]}")
        self.why = why


@dataclass(slots=True)
class Seat:
    """See the module. `unproved` are the ids of what it said since its last proof."""

    number: int
    worker: Any
    start_seconds: float
    judged: int = 0
    checked: float = 0.0
    failed_checks: int = 0
    unproved: list[str] = field(default_factory=list)
    _scratch: str = ""
    _killed: str = ""

    async def start(self) -> None:
        """Waits until a process is there and its sandbox is proved, also while Ray starts it anew.

        Raises what `Judge` raises; SandboxFault if it does not start in time.
        """
        deadline = time.monotonic() + self.start_seconds
        while True:
            try:
                scratch = await _within(max(0.0, deadline - time.monotonic()), self.worker.start.remote())
            except RayTaskError as error:
                if isinstance(error.cause, FarmError):
                    raise error.cause from None
                raise SandboxFault(f"a worker could not start: {error}") from error
            except TimeoutError as error:
                raise SandboxFault(f"a worker did not start within {self.start_seconds:.0f} s") from error
            except RayError as error:
                if time.monotonic() > deadline:
                    raise SandboxFault(f"a worker keeps dying as it starts: {error}") from error
            else:
                if scratch != self._killed:  # else it is the old process, which has not noticed yet
                    break
            await asyncio.sleep(RESTART_POLL_SECONDS)
        self._scratch, self.judged, self.checked = scratch, 0, time.monotonic()
        self.unproved.clear()

    async def judge(self, submissions: Sequence[Submission]) -> Judged:
        """A batch's verdicts. Raises WorkerDied; it must be started again then."""
        judged: Judged = await self._asked(BATCH_SECONDS, self.worker.judge.remote(submissions))
        self.judged += len(submissions)
        self.unproved += [submission.id for submission in submissions]
        return judged

    async def check(self) -> str | None:
        """What is wrong with the worker, if it shows that it may judge wrongly; its process is ended then.

        Raises WorkerDied if it shows nothing: it died as workers do, or met a fault.
        """
        try:
            verdicts = await self._asked(CHECK_SECONDS, self.worker.check.remote(canaries()))
        except WorkerDied as died:
            open_layer = getattr(died.__cause__, "cause", None)
            if not isinstance(open_layer, SandboxUnavailable):
                raise
            self.failed_checks += 1
            return str(open_layer)
        said = complaint(verdicts)
        fault = next((each.reason for each in verdicts if isinstance(each, InfraFault)), None)
        if said is None and fault is None:
            self.checked, self.failed_checks = time.monotonic(), 0
            self.unproved.clear()
            return None
        self.replace()
        if said is None:
            raise WorkerDied("fault", fault or "")
        self.failed_checks += 1
        return said

    async def retire(self) -> None:
        """Lets the worker tidy up, if it has time to."""
        with suppress(RayError, TimeoutError):
            await _within(RETIRE_SECONDS, self.worker.retire.remote())

    def replace(self) -> None:
        """Ends the process; Ray starts another, for which `start` waits."""
        self._killed = self._scratch
        ray.kill(self.worker, no_restart=False)

    async def end(self) -> None:
        """Ends the worker for good, and removes what it left if that is on this machine."""
        await self.retire()
        ray.kill(self.worker)
        left, deadline = Path(self._scratch or "/nowhere"), time.monotonic() + RETIRE_SECONDS
        while left.exists() and time.monotonic() < deadline:
            sweep(left.parent)
            await asyncio.sleep(0.02)

    async def _asked(self, seconds: float, reference: Any) -> Any:
        try:
            return await _within(seconds, reference)
        except TimeoutError as error:
            self.replace()
            raise WorkerDied("hung", f"it did not answer within {seconds:.0f} s") from error
        except RayTaskError as error:
            self.replace()
            raise WorkerDied("crash", str(error)) from error
        except RayError as error:
            raise WorkerDied("crash", str(error)) from error


async def _within(seconds: float, reference: Awaitable[Any]) -> Any:
    async with asyncio.timeout(seconds):
        return await reference

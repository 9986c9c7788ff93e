"""One worker of the pool: a judge in a process of its own, and what the pool is told beside its verdicts.

Knows nothing of the queue, of other workers, or of who asked.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch's verdicts, in order, and the worker's state after it."""

    verdicts: tuple[Verdict, ...]
    fallbacks: int
    """Compiler runs beyond the first of each crate: members that erred were left out, or the batch was split."""
    resident_bytes: int


# Costs no Ray CPU: on two cores it shares them with sampler and learner.
@ray.remote(num_cpus=0, max_restarts=-1)
class RustcWorker:
    """A judge in a process of its own, which Ray starts anew when it ends."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings = settings
        self._judge: Judge | None = None
        self._scratch = ""
        self._retired = False

    def _ready(self) -> Judge:
        """The judge, its sandbox proved. Made here and not in `__init__`, whose errors Ray turns into text.

        Raises as `Judge` does.
        """
        if self._judge is None:
            self._judge = Judge(self._settings)
        return self._judge

    def start(self) -> str:
        """The folder that is this process's own, and so its name. Raises as `Judge` does."""
        if not self._retired:  # it may be asked once more before it is ended
            self._scratch = str(self._ready().scratch)
        return self._scratch

    def judge(self, submissions: Sequence[Submission]) -> Judged:
        """See `Judge.judge`."""
        judge = self._ready()
        before = judge.fallbacks
        verdicts = tuple(judge.judge(submissions))
        return Judged(verdicts, judge.fallbacks - before, _resident_bytes())

    def check(self, canaries: Sequence[Submission]) -> tuple[Verdict, ...]:
        """Proves the sandbox again, then judges `canaries`. Raises as `Judge` does."""
        judge = self._ready()
        judge.prove()
        return tuple(judge.judge(canaries))

    def retire(self) -> None:
        """Leaves nothing behind; the process is ended next."""
        self._retired = True
        if self._judge is not None:
            self._judge.close()


def start_worker(settings: FarmSettings) -> Any:
    """A new worker's actor; it waits for a node that has the settings' resource."""
    resource = settings.node_resource
    options = {"resources": {resource: 1}} if resource else {}
    return RustcWorker.options(**options).remote(settings)  # type: ignore[attr-defined]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()

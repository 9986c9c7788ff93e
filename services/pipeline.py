"""Runs the phases in order, each in a process of its own, and remembers which are finished. Trains nothing itself.

    for each phase ── finished? ── yes ─► one line, next
                         │ no
                         ▼
          python -m services.worker PHASE RUN_DIR ──events──► log, terminal, metrics.jsonl
                         │ exit
                         ├── Done    ─► state/PHASE.json (fsynced, renamed), next
                         ├── Failed  ─► PhaseError with its message
                         └── killed  ─► again, as long as it got further than the last time

A process of its own gives its memory back, gets its own number of threads, and can be killed at any instant: what was
reported done is on disk, and a phase that runs again goes on from its own checkpoints.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from services.advice import Adviser
from services.console import Operator, duration
from services.environment import threads
from services.errors import Interrupted, PhaseError
from services.events import Done, Event, Failed, Note, Progress, events
from services.memory import MemoryWatch
from services.metrics_log import MetricsLog
from services.run_folder import Finished, RunFolder
from services.tensorboard import Board

GRACE_SECONDS = 600.0
"""How long a phase may take to end after it was asked to: it finishes its step, saves it, and shuts Ray down."""


STOPPING = "stopping: the step in the making is finished and saved first. Ctrl-C again stops at once."


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase. `alone`: nothing else computes meanwhile, so its torch may take every core."""

    name: str
    title: str
    alone: bool


PHASES = (
    Phase("corpus", "crates, tasks, tokenizer and tokens", alone=True),
    Phase("base", "pre-training on crates", alone=True),
    Phase("supervised", "pre-training on crates and solved tasks", alone=True),
    Phase("rl", "GRPO on rewards from rustc", alone=False),
    Phase("evaluation", "base, supervised and RL checkpoints on unseen tasks", alone=False),
    Phase("export", "GGUF, checked against torch in llama.cpp", alone=True),
    Phase("report", "curves, table and samples", alone=True),
)

CONTROL_PHASES = (
    Phase("control", "further supervised training, for as long as RL took", alone=True),
    Phase("control_evaluation", "the control arm on unseen tasks", alone=False),
)
"""Not part of a run; `ferrotype control` adds them to one."""

Command = Callable[[Phase, RunFolder], Sequence[str]]


def worker_command(phase: Phase, run: RunFolder) -> Sequence[str]:
    """The process of a phase."""
    return [sys.executable, "-m", "services.worker", phase.name, str(run.root)]


def run_phases(
    run: RunFolder, operator: Operator, phases: Sequence[Phase] = PHASES, command: Command = worker_command
) -> dict[str, Finished]:
    """Bring every phase to its end and return their results. The caller holds the folder.

    In a run that has not ended, a phase whose checkpoint was removed goes on to it again.

    Raises:
        PhaseError: a phase failed; the ones before it stay done.
        Interrupted: the operator stopped it.
    """
    metrics = MetricsLog(run.metrics_file, Board(run.tensorboard))
    earlier = {phase.name: run.finished(phase.name) for phase in phases}
    ended = all(earlier.values())
    results: dict[str, Finished] = {}
    try:
        for number, phase in enumerate(phases, 1):
            before = earlier[phase.name]
            if before is not None and (ended or run.holds(before)):
                operator.phase(number, len(phases), phase.name, f"already done in {duration(before.seconds)}")
                results[phase.name] = before
                continue
            operator.phase(number, len(phases), phase.name, f"started ({phase.title})")
            result = _run_phase(phase, run, operator, metrics, command)
            run.finish(result)
            results[phase.name] = result
            operator.phase(
                number, len(phases), phase.name, f"done in {duration(result.seconds)}{_brief(result.summary)}"
            )
    finally:
        metrics.close()
    return results


def _run_phase(phase: Phase, run: RunFolder, operator: Operator, metrics: MetricsLog, command: Command) -> Finished:
    started = time.time()
    furthest, peak_mb = -1, 0
    while True:
        attempt = _Attempt(phase.name, operator, metrics)
        code = attempt.run(command(phase, run), _environment(phase))
        peak_mb = max(peak_mb, attempt.peak_mb)
        if isinstance(attempt.outcome, Done) and code == 0:
            return Finished(phase.name, time.time(), time.time() - started, peak_mb, attempt.outcome.summary)
        killed = code < 0 and attempt.outcome is None
        if (killed or (isinstance(attempt.outcome, Failed) and attempt.outcome.restart)) and attempt.step > furthest:
            furthest = attempt.step
            operator.say(f"{phase.name} stopped ({_cause(code)}) at step {attempt.step}; it goes on in a new process")
            continue
        if isinstance(attempt.outcome, Failed):
            raise PhaseError(f"{attempt.outcome.message}\n(phase {phase.name}; log: {operator.log})")
        raise PhaseError(
            f"the phase {phase.name} ended unexpectedly: {_cause(code)}. What it printed is in {operator.log}. "
            "The same command goes on from its last checkpoint."
        )


class _Attempt:
    """One process of a phase, from its start to its end."""

    def __init__(self, name: str, operator: Operator, metrics: MetricsLog) -> None:
        self.outcome: Done | Failed | None = None
        self.step = 0
        self.peak_mb = 0
        self._name, self._operator, self._metrics, self._adviser = name, operator, metrics, Adviser()
        self._memory: MemoryWatch | None = None

    def run(self, command: Sequence[str], environment: dict[str, str]) -> int:
        read_end, write_end = os.pipe()
        with self._operator.log.open("ab") as log, os.fdopen(read_end) as stream:
            # A session of its own: Ctrl-C in the terminal reaches us alone, and we end the phase in good order.
            process = subprocess.Popen(
                [*command, str(write_end)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[write_end],
                start_new_session=True,
            )
            os.close(write_end)
            with _ended_with_us(process, self._operator), MemoryWatch(process.pid) as memory:
                self._memory = memory
                for event in events(stream):
                    self._take(event)
                code = process.wait()
            self.peak_mb = memory.peak_mb
        return code

    def _take(self, event: Event) -> None:
        match event:
            case Progress(step, total, figures, row):
                self.step = step
                row |= {"memory_mb": self._memory.now_mb} if row and self._memory else {}
                self._operator.progress(self._name, step, total, figures, row)
                if row:
                    self._metrics.write(self._name, step, row)
                    for warning in self._adviser.hear(row):
                        self._operator.say(f"{self._name}: warning at step {step}: {warning}")
            case Note(text):
                self._operator.say(f"{self._name}: {text}")
            case Done() | Failed():
                self.outcome = event


@contextmanager
def _ended_with_us(process: subprocess.Popen[bytes], operator: Operator) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends the phase after its step, then raises `Interrupted`; a second one kills it."""
    signals = 0

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal signals
        signals += 1
        with suppress(ProcessLookupError):
            if signals == 1:
                process.terminate()
                signal.alarm(round(GRACE_SECONDS))
                # Not from here: the line that this signal interrupted may be the operator's own.
                threading.Thread(target=operator.say, args=(STOPPING,), daemon=True).start()
            else:
                os.killpg(process.pid, signal.SIGKILL)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if signals:
        raise Interrupted("stopped. The same command goes on from the last checkpoint.")


def _environment(phase: Phase) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return {**threads(phase.alone), **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed by SIGKILL, as the kernel does when memory runs out"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _brief(summary: dict[str, Any]) -> str:
    """The plain figures of a summary, for one line."""
    shown = [
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}"
        for k, v in summary.items()
        if isinstance(v, (int, float, str))
    ]
    return f": {' '.join(shown)}" if shown else ""

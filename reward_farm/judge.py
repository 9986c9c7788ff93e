"""Turns submissions into verdicts: gate, memory, compile, hidden cases, reward. One worker; synchronous.

with Judge(FarmSettings()) as judge:
    verdicts = judge.judge([Submission("1", source, problem)])
"""

from __future__ import annotations

import hashlib
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from reward_farm.compiler import Compiler, Fate, Unit
from reward_farm.errors import SandboxFault
from reward_farm.exam import prepare
from reward_farm.examiner import Examined, Examiner
from reward_farm.gate import Parsed, examine
from reward_farm.layers import ORACLE
from reward_farm.probe import probe
from reward_farm.problem import Submission
from reward_farm.reward import reward
from reward_farm.sandbox import Sandbox
from reward_farm.scratch import Scratch, scratch_root
from reward_farm.settings import FarmSettings
from reward_farm.stages import stage_of
from reward_farm.syntax import measure
from reward_farm.toolchain import find_toolchain
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Timings, Verdict

_BY_CLOCK = (Outcome.COMPILE_TIMEOUT, Outcome.TEST_TIMEOUT)
"""Not remembered: another time the same text may be faster."""


@dataclass(frozen=True, slots=True)
class _Entrant:
    """A submission that the gate let in."""

    submission: Submission
    parsed: Parsed
    gate_ms: float


class Judge:
    """One worker's judge. Not thread-safe."""

    def __init__(self, settings: FarmSettings) -> None:
        """Finds the compiler and proves the sandbox with a canary.

        Raises:
            RustcMissing: there is no usable rustc.
            SandboxUnavailable: a layer of the sandbox can't be built here; nothing is judged without it.
        """
        self.toolchain = find_toolchain(settings)
        self._scratch = Scratch(scratch_root(settings))
        self.close = weakref.finalize(self, self._scratch.close)
        """Removes what it has on disk; without it the end of the process does, or the next judge."""
        self._settings = settings.model_copy(update={"scratch_dir": self._scratch.path})
        self.prove()
        self._sandbox = Sandbox(self.toolchain, self._settings)
        self._examiner = Examiner(self._sandbox)
        self._memory: OrderedDict[bytes, Scored] = OrderedDict()
        self.fallbacks = 0
        """Compiler runs beyond the first of each batch, so far."""

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.clear()
        self.close()

    @property
    def scratch(self) -> Path:
        """Its own folder, where all that it writes lies."""
        return self._scratch.path

    def prove(self) -> None:
        """Proves the sandbox with its canaries. Raises SandboxUnavailable."""
        probe(self._settings, self.toolchain)

    def judge(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """A verdict for each submission, in order. Bad candidates are data; only a malformed problem raises.

        Raises:
            UnsupportedType, BadValue: a problem names a type or holds a value that can't cross into the sandbox, or has
                assertions that show nothing.
        """
        for submission in submissions:
            prepare(submission.problem)
        with suppress(OSError):  # then each is a fault
            self._scratch.hold()
        verdicts: dict[int, Verdict] = {}
        entrants: dict[int, _Entrant] = {}
        twins: dict[bytes, list[int]] = {}
        for index, submission in enumerate(submissions):
            key = _key(submission)
            if key in self._memory:
                self._memory.move_to_end(key)
                verdicts[index] = replace(self._memory[key], id=submission.id, cached=True)
            elif key in twins:
                twins[key].append(index)
            else:
                looked = self._look(submission)
                if isinstance(looked, Scored):
                    verdicts[index] = looked
                else:
                    entrants[index] = looked
                    twins[key] = [index]
        for batch in self._batches(entrants):
            verdicts |= self._judge_batch(batch, entrants)
        for key, (first, *others) in twins.items():
            verdict = verdicts[first]
            if isinstance(verdict, Scored) and verdict.outcome not in _BY_CLOCK:
                self._remember(key, verdict)
            for other in others:
                verdicts[other] = _as_twin(verdict, submissions[other].id)
        return [verdicts[index] for index in range(len(submissions))]

    def _look(self, submission: Submission) -> Scored | _Entrant:
        """What the text alone decides."""
        started = time.perf_counter()
        problem = submission.problem
        looked = examine(submission.source, problem.entry, self._settings.max_source_bytes, problem.runs)
        elapsed = (time.perf_counter() - started) * 1000
        if isinstance(looked, Parsed):
            return _Entrant(submission, looked, elapsed)
        return Scored(
            submission.id, looked.outcome, RewardBreakdown(), looked.diagnostics, cheat=looked.cheat,
            timings=Timings(gate_ms=elapsed), stage=stage_of(looked.outcome, looked.diagnostics),
            oracle_outside=not problem.assertions,
        )  # fmt: skip

    def _batches(self, entrants: Mapping[int, _Entrant]) -> Iterator[list[Unit]]:
        """Who is compiled with whom: `max_batch` at a time, and alone who could reach a sibling."""
        units = [
            Unit(
                index, entrant.parsed.source, entrant.submission.problem, entrant.parsed.alone, entrant.parsed.published
            )
            for index, entrant in entrants.items()
        ]
        for runs in (True, False):
            together = [unit for unit in units if not unit.alone and unit.problem.runs is runs]
            for start in range(0, len(together), self._settings.max_batch):
                yield together[start : start + self._settings.max_batch]
        yield from ([unit] for unit in units if unit.alone)

    def _judge_batch(self, batch: Sequence[Unit], entrants: Mapping[int, _Entrant]) -> dict[int, Verdict]:
        verdicts: dict[int, Verdict] = {}
        examined: dict[int, Examined] = {}
        with Compiler(self._sandbox) as compiler:
            fates = compiler.compile(batch)
            self.fallbacks += compiler.fallbacks
            for library in compiler.libraries:
                exams = {index: prepare(entrants[index].submission.problem) for index in library.members}
                try:
                    examined |= self._examiner.examine(library, exams)
                except SandboxFault as fault:
                    if len(batch) > 1:  # by itself, each keeps its own fault and nobody else's
                        for unit in (unit for unit in batch if unit.index in library.members):
                            verdicts |= self._judge_batch([unit], entrants)
                    else:
                        fates[library.members[0]].fault = str(fault)
        for unit in batch:
            if unit.index not in verdicts:
                verdicts[unit.index] = self._verdict(entrants[unit.index], fates[unit.index], examined.get(unit.index))
        return verdicts

    def _verdict(self, entrant: _Entrant, fate: Fate, examined: Examined | None) -> Verdict:
        submission, parsed = entrant.submission, entrant.parsed
        if fate.fault is not None:
            return InfraFault(submission.id, fate.fault)
        if fate.outcome is not None:
            outcome = fate.outcome
        elif examined is not None:
            outcome = examined.outcome
        elif submission.problem.runs:
            return InfraFault(submission.id, "it compiled, but was not asked anything")
        else:
            outcome = Outcome.PASSED
        cases = examined.cases if examined is not None else ()
        diagnostics = fate.diagnostics + parsed.silenced
        warnings = sum(diagnostic.level == "warning" for diagnostic in diagnostics)
        outside = not submission.problem.assertions
        metrics = measure(parsed.root, parsed.entry)
        return Scored(
            id=submission.id,
            outcome=outcome,
            reward=reward(outcome, cases, submission.problem.questions, warnings, metrics, self._settings.weights),
            diagnostics=diagnostics,
            cases=cases,
            metrics=metrics,
            timings=Timings(entrant.gate_ms, fate.milliseconds, examined.milliseconds if examined else 0.0),
            isolation=tuple(layer for layer in self._sandbox.layers if outside or layer != ORACLE),
            stage=stage_of(outcome, fate.diagnostics),
            oracle_outside=outside,
        )

    def _remember(self, key: bytes, verdict: Scored) -> None:
        self._memory[key] = verdict
        while len(self._memory) > self._settings.cache_size:
            self._memory.popitem(last=False)


def _as_twin(verdict: Verdict, id: str) -> Verdict:
    return replace(verdict, id=id, cached=True) if isinstance(verdict, Scored) else replace(verdict, id=id)


def _key(submission: Submission) -> bytes:
    """Two submissions with one key get one verdict."""
    text = repr((submission.source, submission.problem))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()

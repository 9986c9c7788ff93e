"""Turns submissions into verdicts: gate, memory, compile, hidden cases, reward. One worker; synchronous.

with Judge(FarmSettings()) as judge:
    verdicts = judge.judge([Submission("1", source, problem)])
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from reward_farm.compiler import Compiler, Fate, Unit
from reward_farm.errors import SandboxFault
from reward_farm.examiner import Examined, Examiner
from reward_farm.gate import Parsed, Refused, examine
from reward_farm.probe import probe
from reward_farm.problem import Submission
from reward_farm.reward import reward
from reward_farm.sandbox import LAYERS, Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.syntax import measure
from reward_farm.toolchain import find_toolchain
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Timings, Verdict


class Judge:
    """One worker's judge. Not thread-safe."""

    def __init__(self, settings: FarmSettings) -> None:
        """Finds the compiler and proves the sandbox with a canary.

        Raises:
            RustcMissing: there is no usable rustc.
            SandboxUnavailable: a layer of the sandbox can't be built here; nothing is judged without it.
        """
        self._settings = settings
        self.toolchain = find_toolchain(settings)
        probe(settings, self.toolchain)
        self._sandbox = Sandbox(self.toolchain, settings)
        self._examiner = Examiner(self._sandbox)
        self._memory: OrderedDict[bytes, Scored] = OrderedDict()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.clear()

    def judge(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """A verdict for each submission, in order. Bad candidates are data; only a malformed problem raises.

        Raises:
            UnsupportedType, BadValue: a problem names a type or holds a value that can't cross into the sandbox.
        """
        verdicts: dict[int, Verdict] = {}
        parsed: dict[int, Parsed] = {}
        twins: dict[bytes, list[int]] = {}
        for index, submission in enumerate(submissions):
            looked = examine(submission.source, submission.problem.entry, self._settings.max_source_bytes)
            if isinstance(looked, Refused):
                verdicts[index] = self._scored(submission, looked.outcome, looked)
                continue
            key = _key(submission)
            if key in self._memory:
                self._memory.move_to_end(key)
                verdicts[index] = replace(self._memory[key], id=submission.id, cached=True)
                continue
            twins.setdefault(key, []).append(index)
            parsed[index] = looked
        for batch in self._batches([indices[0] for indices in twins.values()], parsed):
            verdicts |= self._judge_batch(batch, submissions, parsed)
        for key, (first, *others) in twins.items():
            verdict = verdicts[first]
            if isinstance(verdict, Scored):
                self._remember(key, verdict)
            for other in others:
                twin = submissions[other].id
                verdicts[other] = replace(verdict, id=twin, cached=True) if isinstance(verdict, Scored) else replace(
                    verdict, id=twin
                )  # fmt: skip
        return [verdicts[index] for index in range(len(submissions))]

    def _batches(self, indices: Sequence[int], parsed: dict[int, Parsed]) -> list[list[int]]:
        """Who is compiled with whom: `max_batch` at a time, and alone who could reach a sibling."""
        together = [index for index in indices if not parsed[index].alone]
        size = self._settings.max_batch
        batches = [together[start : start + size] for start in range(0, len(together), size)]
        return batches + [[index] for index in indices if parsed[index].alone]

    def _judge_batch(
        self, batch: Sequence[int], submissions: Sequence[Submission], parsed: dict[int, Parsed]
    ) -> dict[int, Verdict]:
        units = [Unit(index, parsed[index].source, submissions[index].problem) for index in batch]
        examined: dict[int, Examined] = {}
        faults: dict[int, str] = {}
        with Compiler(self._sandbox) as compiler:
            fates = compiler.compile(units)
            for library in compiler.libraries:
                problems = {index: submissions[index].problem for index in library.members}
                try:
                    examined |= self._examiner.examine(library, problems)
                except SandboxFault as fault:
                    faults |= dict.fromkeys(library.members, str(fault))
        return {
            index: InfraFault(submissions[index].id, str(faults.get(index) or fates[index].fault))
            if index in faults or fates[index].fault
            else self._verdict(submissions[index], parsed[index], fates[index], examined.get(index))
            for index in batch
        }

    def _verdict(self, submission: Submission, parsed: Parsed, fate: Fate, examined: Examined | None) -> Scored:
        metrics = measure(parsed.root, parsed.entry)
        outcome = fate.outcome or (examined.outcome if examined is not None else Outcome.PASSED)
        cases = examined.cases if examined is not None else ()
        warnings = sum(diagnostic.level == "warning" for diagnostic in fate.diagnostics)
        return Scored(
            id=submission.id,
            outcome=outcome,
            reward=reward(outcome, cases, len(submission.problem.cases), warnings, metrics, self._settings.weights),
            diagnostics=fate.diagnostics,
            cases=cases,
            metrics=metrics,
            timings=Timings(check_ms=fate.milliseconds, test_ms=examined.milliseconds if examined else 0.0),
            isolation=LAYERS,
        )

    def _scored(self, submission: Submission, outcome: Outcome, refused: Refused) -> Scored:
        return Scored(
            id=submission.id,
            outcome=outcome,
            reward=RewardBreakdown(),
            diagnostics=refused.diagnostics,
            cheat=refused.cheat,
        )

    def _remember(self, key: bytes, verdict: Scored) -> None:
        self._memory[key] = verdict
        while len(self._memory) > self._settings.cache_size:
            self._memory.popitem(last=False)


def _key(submission: Submission) -> bytes:
    """Two submissions with one key get one verdict."""
    return hashlib.blake2b(
        repr((submission.source, submission.problem)).encode(errors="replace"), digest_size=16
    ).digest()

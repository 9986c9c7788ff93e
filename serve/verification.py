"""Answers that the compiler has checked: several candidates at once, the first good one wins.

    candidate 1 ─► written ─► Rust in it ─► farm ─► bad ─┐
    candidate 2 ─► written ─► Rust in it ─► farm ─► good ─┴► the answer; those still being written are stopped
    candidate 3 ─► being written ……………………………………………… stopped

A fault or a full queue of the farm is never taken for a verdict on the candidate. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from reward_farm.document import read_problem
from reward_farm.gate import parse
from reward_farm.problem import Problem, Submission
from reward_farm.rendering import render
from reward_farm.verdict import InfraFault, Outcome, Scored, Verdict
from serve.engine import FinishReason, Sampling
from serve.errors import ApiError, EngineError
from serve.scheduler import Scheduler
from serve.verify_protocol import VerifyOptions

Status: TypeAlias = Literal["verified", "failed", "unverified"]
OUTCOMES = list(Outcome)
FILE = "answer.rs"
"""What diagnostics call the text that was judged."""
Errors: TypeAlias = "Counter[tuple[str | None, str]]"


class Judging(Protocol):
    """Who judges: a farm here, or one behind Ray Serve."""

    async def judge(self, submission: Submission, deadline_seconds: float) -> Verdict:
        """The verdict.

        Raises:
            ApiError: there is none, and why.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be written, and how a text that was written becomes a file."""

    prompt_ids: tuple[int, ...]
    samplings: tuple[Sampling, ...]
    file_of: Callable[[str], str]
    """The whole source file for an answer."""
    cut: Callable[[str], str] = lambda text: text
    """Leaves out what a model began after its answer and did not end."""
    context: str | None = None
    """The file with `todo!()` for the gap that is filled: its own errors are not the answer's."""


@dataclass(slots=True)
class Candidate:
    """One answer and what was said of it."""

    index: int
    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    verdict: Scored | None = None
    good: bool = False
    why_unjudged: str = ""


@dataclass(slots=True)
class Verified:
    """How it ended. `chosen` is the answer."""

    status: Status
    chosen: Candidate
    candidates: list[Candidate]
    old_errors: Errors
    source: str
    level: str
    rounds: int
    milliseconds: dict[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Of all candidates, those that were stopped included."""
        return sum(candidate.tokens for candidate in self.candidates)

    @property
    def rendered(self) -> str:
        """What rustc says of the answer, as it would print it."""
        return render(self.chosen.verdict, self.source, FILE) if self.chosen.verdict else ""

    def document(self, whole: bool) -> dict[str, Any]:
        """The answer's field `verification`; `whole` shows every candidate."""
        judged = [candidate for candidate in self.candidates if candidate.verdict is not None]
        order = sorted(self.candidates, key=_rank, reverse=True)
        verdict = self.chosen.verdict
        said: dict[str, Any] = {
            "status": self.status,
            "level": self.level,
            "outcome": str(verdict.outcome) if verdict else None,
            "reason": self.chosen.why_unjudged or (verdict.cheat if verdict else None),
            "candidates": len(self.candidates),
            "checked": len(judged),
            "good": sum(candidate.good for candidate in judged),
            "chosen": self.chosen.index,
            "rank": [candidate.index for candidate in order],
            "repair_rounds": self.rounds,
            "diagnostics": [asdict(found) for found in verdict.diagnostics] if verdict else [],
            "rendered": self.rendered,
            "timings": {name: round(value, 1) for name, value in self.milliseconds.items()},
        }
        if whole:
            said["all"] = [
                {"index": each.index, "text": each.text, "good": each.good,
                 "outcome": str(each.verdict.outcome) if each.verdict else None}
                for each in self.candidates
            ]  # fmt: skip
        return said


def problem_of(options: VerifyOptions) -> Problem:
    """What a candidate is judged against.

    Raises:
        BadProblem, UnsupportedType, BadValue: it is none.
    """
    if options.problem is not None:
        return read_problem(options.problem)
    tests = options.tests if options.level == "test" else None
    return read_problem({"entry": options.entry or "", "assertions": tests or ""})


def complete_items(prompt: str, text: str) -> str:
    """`text` without an item that it begins and does not end, if that leaves one that it ended. Code to go on with
    has no end that a model must find, and what stands unfinished after an answer is no part of it."""
    raw, begun = (prompt + text).encode(), len(prompt.encode())
    root = parse(raw)
    if not root.has_error:
        return text
    whole = 0
    for item in root.children:
        if item.has_error or item.is_missing:
            break
        whole = item.end_byte
    return raw[begun:whole].decode(errors="replace") if whole > begun else text


async def verify(
    scheduler: Scheduler,
    judge: Judging,
    task: Task,
    options: VerifyOptions,
    problem: Problem,
    repair: Callable[[Candidate, str], tuple[int, ...]] | None = None,
    on_verdict: Callable[[Candidate], None] = lambda _: None,
) -> Verified:
    """Write candidates for `task` until one is good, or all were judged.

    Args:
        repair: the prompt that asks again, given the best answer so far and what the compiler says of it.
        on_verdict: called as candidates are judged.

    Raises:
        ApiError: the queue is full, or the engine refuses the request.
    """
    began = time.monotonic()
    deadline = began + options.timeout_s
    clock: dict[str, float] = {}
    all_candidates: list[Candidate] = []
    prompt, rounds = task.prompt_ids, 0
    with scheduler.admit():
        old_errors = await _errors_of(judge, task.context, options.timeout_s)
        while True:
            batch = [Candidate(len(all_candidates) + place) for place in range(len(task.samplings))]
            all_candidates += batch
            work = _candidates(scheduler, judge, task, prompt, batch, options, problem, old_errors, deadline, clock)
            async with aclosing(work) as judged:
                async for candidate in judged:
                    on_verdict(candidate)
            best = max(all_candidates, key=_rank)
            if best.good or best.verdict is None or repair is None or rounds == options.repair_rounds:
                break
            if time.monotonic() > deadline:
                break
            prompt = repair(best, render(best.verdict, task.file_of(best.text), FILE))
            rounds += 1
    clock["total_ms"] = (time.monotonic() - began) * 1000
    status: Status = "verified" if best.good else "failed" if best.verdict is not None else "unverified"
    return Verified(status, best, all_candidates, old_errors, task.file_of(best.text), options.level, rounds, clock)


async def _candidates(
    scheduler: Scheduler,
    judge: Judging,
    task: Task,
    prompt: Sequence[int],
    batch: Sequence[Candidate],
    options: VerifyOptions,
    problem: Problem,
    old_errors: Errors,
    deadline: float,
    clock: dict[str, float],
) -> AsyncGenerator[Candidate, None]:
    """Each candidate of a round as it is judged; ends at the first good one, and stops the others."""
    began = time.monotonic()

    async def one(candidate: Candidate, sampling: Sampling) -> Candidate:
        await _write(scheduler, prompt, sampling, candidate)
        candidate.text = task.cut(candidate.text)
        written = time.monotonic()
        clock["generate_ms"] = max(clock.get("generate_ms", 0.0), (written - began) * 1000)
        submission = Submission(uuid.uuid4().hex, task.file_of(candidate.text), problem)
        try:
            verdict = await judge.judge(submission, max(0.1, deadline - written))
        except ApiError as error:
            candidate.why_unjudged = str(error)
            return candidate
        clock["verify_ms"] = max(clock.get("verify_ms", 0.0), (time.monotonic() - written) * 1000)
        if isinstance(verdict, InfraFault):
            candidate.why_unjudged = verdict.reason
        else:
            candidate.verdict, candidate.good = verdict, _good(verdict, options.level, old_errors)
        return candidate

    tasks = [asyncio.create_task(one(each, how)) for each, how in zip(batch, task.samplings, strict=True)]
    try:
        for finished in asyncio.as_completed(tasks, timeout=max(0.1, deadline - time.monotonic())):
            candidate = await finished
            if candidate.good:
                clock.setdefault("first_good_ms", (time.monotonic() - began) * 1000)
            yield candidate
            if candidate.good and not options.return_all:
                return
    except TimeoutError:
        for candidate in batch:
            candidate.why_unjudged = candidate.why_unjudged or f"no verdict within {options.timeout_s:g} s"
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write(scheduler: Scheduler, prompt: Sequence[int], sampling: Sampling, candidate: Candidate) -> None:
    try:
        async with aclosing(scheduler.complete(prompt, sampling)) as deltas:
            async for delta in deltas:
                candidate.text += delta.text
                candidate.tokens = delta.completion_tokens or candidate.tokens + 1
                candidate.finish_reason = delta.finish_reason
    except EngineError as error:
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        raise ApiError(str(error), status=error.status, kind=kind) from error


async def _errors_of(judge: Judging, source: str | None, seconds: float) -> Errors:
    """The errors that a file had before its gap was filled; none where that can't be known."""
    if source is None:
        return Counter()
    try:
        verdict = await judge.judge(Submission(uuid.uuid4().hex, source, Problem("", (), "()")), seconds)
    except ApiError:
        return Counter()
    return _errors(verdict) if isinstance(verdict, Scored) else Counter()


def _errors(verdict: Scored) -> Errors:
    return Counter((found.code, found.message) for found in verdict.diagnostics if found.level == "error")


def _good(verdict: Scored, level: str, old_errors: Errors) -> bool:
    if level == "test":
        return verdict.passed
    errors = _errors(verdict)
    compiled = verdict.compiled or bool(errors and not errors - old_errors)
    return compiled and (level == "check" or not verdict.diagnostics)


def _rank(candidate: Candidate) -> tuple[Any, ...]:
    """Better is larger: good, judged, how far it came, fewer errors, fewer warnings, and the earlier one."""
    verdict = candidate.verdict
    if verdict is None:
        return (False, False, 0, 0, 0, bool(candidate.finish_reason), -candidate.index)
    levels = Counter(found.level for found in verdict.diagnostics)
    far = OUTCOMES.index(verdict.outcome)
    return (candidate.good, True, far, -levels["error"], -levels["warning"], True, -candidate.index)

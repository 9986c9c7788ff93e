"""Evaluates one model: asks for every completion at once and judges each as it ends.

    plan - generations = missing ─► answers ─each─► generations journal ─► extract, judge ─► samples journal ─► summary
    plan ∩ generations - samples ────────────────────────────────────────────┘ (at most in_flight)

Invariants: what is in the generations journal is never made again, and what is in the samples journal never judged
again; a fault of the farm is never a zero, and is judged again by the next run. Loads no model: whoever gives
`answers` vouches that they are this model's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reward_farm.problem import Submission
from reward_farm.verdict import Scored, Verdict
from trainer.benchmarks.verify import UNVERIFIED
from trainer.evaluation.answers import Answers
from trainer.evaluation.errors import TooManyFaults
from trainer.evaluation.evaluation import Evaluation, ModelFacts, count_faults, overall, summarise, tabulate
from trainer.evaluation.extraction import Extracted, extract
from trainer.evaluation.form import PromptForms
from trainer.evaluation.journal import Journal, read_generations, read_samples, write_samples
from trainer.evaluation.latency import latency
from trainer.evaluation.sample import (
    Extraction,
    Generation,
    Identity,
    Sample,
    SamplePlan,
    benchmark_sha256,
    plan_probes,
    plan_samples,
)
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.task import Task

IN_FLIGHT = 512
"""Completions being judged at a time: enough for full batches of many workers, few enough to bound memory."""

Judge = Callable[[Submission], Awaitable[Verdict]]
"""The verdict on one submission: `RewardFarm.judge`."""

Progress = Callable[[str, int, int], None]
"""Called with the label, the samples done and the samples wanted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: a model and where its results go."""

    label: str
    checkpoint: str
    """Where the model is, in words."""
    identity: Identity
    forms: PromptForms = field(default_factory=PromptForms)
    model: ModelFacts = field(default_factory=ModelFacts)


async def evaluate(
    subject: Subject,
    tasks: Sequence[Task],
    *,
    answers: Answers | None,
    judge: Judge,
    settings: EvaluationSettings,
    out_dir: Path,
    in_flight: int = IN_FLIGHT,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a model on tasks, and write `<label>.generations.jsonl`, `<label>.jsonl` and `<label>.json`.

    Without `answers`, only what was generated before is judged: plans without a generation are in no figure.
    At most `in_flight` completions are being judged at a time.

    Raises:
        TooManyFaults: more than `settings.max_fault_share` of the samples could not be judged.
    """
    started = time.monotonic()
    work = _Work(subject, tasks, settings, out_dir, progress)
    work.report()
    with work.open_generations() as generations, work.open_samples() as samples:
        slots = asyncio.Semaphore(in_flight)

        async def finish(plan: SamplePlan, generated: Generation) -> None:
            try:
                work.judged(await _sample(plan, generated, judge, settings.extract), samples)
            finally:
                slots.release()

        async with _first_error(), asyncio.TaskGroup() as judges:
            for plan, generated in work.unjudged():
                await slots.acquire()
                judges.create_task(finish(plan, generated))
            if answers is not None:
                await work.probe(answers, generations)
                if missing := work.missing():
                    by_key = {plan.text_key: plan for plan in missing}
                    async for generated in answers(missing):
                        generations.append(generated)
                        await slots.acquire()
                        judges.create_task(finish(by_key[generated.key], generated))
    return work.result(time.monotonic() - started)


async def generate_only(
    subject: Subject,
    tasks: Sequence[Task],
    *,
    answers: Answers,
    settings: EvaluationSettings,
    out_dir: Path,
    progress: Progress | None = None,
) -> Path:
    """Write `<label>.generations.jsonl` and judge nothing; `evaluate` goes on from there."""
    work = _Work(subject, tasks, settings, out_dir, progress)
    work.report(len(work.plans) - len(work.missing()) - work.done)
    with work.open_generations() as generations:
        await work.probe(answers, generations)
        if missing := work.missing():
            async for generated in answers(missing):
                generations.append(generated)
                work.report(1)
    return work.generations_path


class _Work:
    """What is wanted, and what is on disk of it."""

    def __init__(
        self,
        subject: Subject,
        tasks: Sequence[Task],
        settings: EvaluationSettings,
        out_dir: Path,
        progress: Progress | None,
    ) -> None:
        self._subject, self._tasks, self._settings, self._out_dir = subject, tasks, settings, out_dir
        self._progress = progress or (lambda *_: None)
        form_of = subject.forms.form_of
        self.plans = plan_samples(tasks, settings, subject.identity, form_of)
        self._probes = plan_probes(tasks, settings, subject.identity, form_of)
        self._samples_path = out_dir / f"{subject.label}.jsonl"
        self.generations_path = out_dir / f"{subject.label}.generations.jsonl"
        self._kept = read_samples(self._samples_path)
        self._began_with = len(self._kept)
        self._generated = read_generations(self.generations_path)
        self._unjudged = [
            plan for plan in self.plans if plan.key not in self._kept or self._kept[plan.key].scored is None
        ]
        self.reused = self.done = len(self.plans) - len(self._unjudged)

    def open_generations(self) -> Journal[Generation]:
        return Journal(self.generations_path)

    def open_samples(self) -> Journal[Sample]:
        return Journal(self._samples_path)

    def unjudged(self) -> list[tuple[SamplePlan, Generation]]:
        """What was generated, and has no verdict."""
        return [(plan, self._generated[plan.text_key]) for plan in self._unjudged if plan.text_key in self._generated]

    def missing(self) -> list[SamplePlan]:
        """What was not even generated."""
        return [plan for plan in self._unjudged if plan.text_key not in self._generated]

    def report(self, more: int = 0) -> None:
        self.done += more
        self._progress(self._subject.label, self.done, len(self.plans))

    def judged(self, sample: Sample, journal: Journal[Sample]) -> None:
        """Keep a sample, on disk before anything else."""
        journal.append(sample)
        self._kept[sample.key] = sample
        self.report(1)

    async def probe(self, answers: Answers, generations: Journal[Generation]) -> None:
        """Take the time of answers that are asked for one at a time. The first only wakes the engine up."""
        missing = [plan for plan in self._probes if plan.text_key not in self._generated]
        for plan in [*missing[:1], *missing]:
            async for generated in answers([plan]):
                timed = generated
            self._generated[plan.text_key] = timed
        for plan in missing:
            generations.append(self._generated[plan.text_key])

    def result(self, seconds: float) -> Evaluation:
        """The summary, written beside the samples."""
        subject, settings = self._subject, self._settings
        samples = [self._kept[plan.key] for plan in self.plans if plan.key in self._kept]
        if self._began_with or samples != list(self._kept.values()):  # else the journal has just these, in this order
            write_samples(self._samples_path, samples)
        faults = count_faults(samples)
        if sum(faults.values()) > settings.max_fault_share * len(self.plans):
            raise TooManyFaults(
                f"{sum(faults.values())} of {len(self.plans)} completions of {subject.label} could not be judged: "
                f"{faults}. Mend the cause and run again: the other verdicts are kept in {self._samples_path}."
            )
        tables = tabulate(samples, settings)
        alone = [self._generated[plan.text_key] for plan in self._probes if plan.text_key in self._generated]
        evaluation = Evaluation(
            label=subject.label,
            checkpoint=subject.checkpoint,
            checkpoint_sha256=subject.identity.checkpoint_sha256,
            benchmark_sha256=benchmark_sha256(self._tasks),
            judged_by=subject.identity.judged_by,
            settings=settings,
            seconds=seconds,
            reused_samples=self.reused,
            faults=faults,
            groups=summarise(samples, settings, tables),
            overall=overall(samples, settings, tables),
            model=subject.model,
            prompts=subject.forms.said,
            latency=latency([generated.latency_ms for generated in alone]),
            loaded_latency=latency([sample.latency_ms for sample in samples]),
        )
        evaluation.save(self._out_dir)
        return evaluation


async def _sample(plan: SamplePlan, generated: Generation, judge: Judge, extracting: bool) -> Sample:
    task = plan.task
    if extracting:
        found = extract(task, generated.text, plan.form)
    else:
        whole = task.source(generated.text)
        found = Extracted(whole, whole)
    differs = found.lenient != found.strict
    verdict = await judge(Submission(plan.key, found.strict, task.problem))
    lenient = await judge(Submission(f"{plan.key}/lenient", found.lenient, task.problem)) if differs else None
    if lenient is not None and not isinstance(lenient, Scored):
        verdict, lenient = lenient, None  # half a verdict is none: the fault is counted, and both are judged again
    return Sample(
        key=plan.key,
        task=task.id,
        family=task.family,
        split=task.split,
        mode=plan.mode,
        index=plan.index,
        prompt=task.prompt,
        completion=generated.text,
        tokens=generated.tokens,
        truncated=generated.truncated,
        verdict=verdict,
        form=plan.form,
        extraction=Extraction.STRICT if extracting else Extraction.WHOLE,
        source=found.strict,
        lenient_source=found.lenient if differs else "",
        lenient_verdict=lenient,
        latency_ms=generated.latency_ms,
        verified=bool(task.solved) and UNVERIFIED not in task.tags,
    )


@asynccontextmanager
async def _first_error() -> AsyncIterator[None]:
    """Of the errors of a group, the first stopped the others."""
    try:
        yield
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures

"""Evaluates one checkpoint: asks for every completion at once and judges each as it ends.

    plan - journal = missing ──► generate ──each completion──► judge ──► Journal ──► summary
                                                       (at most in_flight)

Invariants: a sample whose verdict is in the journal is never made again; a fault of the farm is never a zero, and is
tried again by the next run. Loads no model: whoever gives `generate` vouches that it samples from this checkpoint.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from reward_farm.problem import Submission
from reward_farm.verdict import Verdict
from rollout.types import Completion, GenerationRequest
from trainer.evaluation.errors import TooManyFaults
from trainer.evaluation.evaluation import Evaluation, count_faults, summarise
from trainer.evaluation.journal import Journal, read_samples, write_samples
from trainer.evaluation.sample import Identity, Sample, SamplePlan, benchmark_sha256, plan_samples
from trainer.evaluation.settings import EvaluationSettings
from trainer.grpo.codec import Codec
from trainer.tasks.task import Task

IN_FLIGHT = 512
"""Completions being judged at a time: enough for full batches of many workers, few enough to bound memory."""

Generate = Callable[[Sequence[GenerationRequest]], AsyncIterator[Completion]]
"""Yields each request's completion as it ends: `RolloutPool.generate`. It is not called when nothing is to be made."""

Judge = Callable[[Submission], Awaitable[Verdict]]
"""The verdict on one submission: `RewardFarm.judge`."""

Progress = Callable[[str, int, int], None]
"""Called with the label, the samples done and the samples wanted."""


async def evaluate(
    label: str,
    checkpoint_dir: Path,
    identity: Identity,
    tasks: Sequence[Task],
    *,
    codec: Codec,
    generate: Generate,
    judge: Judge,
    settings: EvaluationSettings,
    out_dir: Path,
    in_flight: int = IN_FLIGHT,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a checkpoint on tasks, and write `<label>.jsonl` and `<label>.json` to `out_dir`.

    At most `in_flight` completions are being judged at a time.

    Raises:
        TooManyFaults: more than `settings.max_fault_share` of the samples could not be judged.
    """
    started = time.monotonic()
    path = out_dir / f"{label}.jsonl"
    plans = plan_samples(tasks, settings, identity)
    missing = missing_samples(path, plans)
    report = progress or (lambda *_: None)
    done = len(plans) - len(missing)
    report(label, done, len(plans))

    def keep(sample: Sample) -> None:
        nonlocal done
        journal.append(sample)
        done += 1
        report(label, done, len(plans))

    with Journal(path) as journal:
        await _make(missing, keep, codec, generate, judge, settings, in_flight)
    kept = read_samples(path)
    samples = [kept[plan.key] for plan in plans if plan.key in kept]
    write_samples(path, samples)
    faults = count_faults(samples)
    if sum(faults.values()) > settings.max_fault_share * len(plans):
        raise TooManyFaults(
            f"{sum(faults.values())} of {len(plans)} completions of {label} could not be judged: {faults}. "
            f"Mend the cause and run again: the other verdicts are kept in {path}."
        )
    evaluation = Evaluation(
        label=label,
        checkpoint=str(checkpoint_dir),
        checkpoint_sha256=identity.checkpoint_sha256,
        benchmark_sha256=benchmark_sha256(tasks),
        judged_by=identity.judged_by,
        settings=settings,
        seconds=time.monotonic() - started,
        reused_samples=len(plans) - len(missing),
        faults=faults,
        groups=summarise(samples, settings),
    )
    evaluation.save(out_dir)
    return evaluation


def missing_samples(path: Path, plans: Sequence[SamplePlan]) -> list[SamplePlan]:
    """The plans that the journal has no verdict on."""
    kept = read_samples(path)
    return [plan for plan in plans if plan.key not in kept or kept[plan.key].scored is None]


async def _make(
    plans: Sequence[SamplePlan],
    keep: Callable[[Sample], None],
    codec: Codec,
    generate: Generate,
    judge: Judge,
    settings: EvaluationSettings,
    in_flight: int,
) -> None:
    """Generate and judge these samples, handing over each as its verdict arrives. The first error stops everything."""
    by_key = {plan.key: plan for plan in plans}
    requests = [
        GenerationRequest(plan.key, codec.encode(plan.task.prompt), settings.max_tokens, plan.temperature, plan.seed)
        for plan in plans
    ]
    slots = asyncio.Semaphore(in_flight)

    async def finish(completion: Completion) -> None:
        try:
            keep(await _sample(by_key[completion.id], completion, codec, judge))
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as judges:
            if requests:
                async for completion in generate(requests):
                    await slots.acquire()
                    judges.create_task(finish(completion))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _sample(plan: SamplePlan, completion: Completion, codec: Codec, judge: Judge) -> Sample:
    text = codec.decode(completion.token_ids)
    verdict = await judge(Submission(plan.key, plan.task.prompt + text, plan.task.problem))
    return Sample(
        key=plan.key,
        task=plan.task.id,
        family=plan.task.family,
        split=plan.task.split,
        mode=plan.mode,
        index=plan.index,
        prompt=plan.task.prompt,
        completion=text,
        tokens=len(completion.token_ids),
        truncated=completion.finish_reason == "length",
        verdict=verdict,
    )

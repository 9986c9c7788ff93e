"""The rounds of `benchmarks.evaluation`. Imports Ray, so the environment is made before."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from reward_farm.problem import Submission
from reward_farm.scoring import Scorer
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict
from rollout.environment import engine_environment
from services.config import RunConfig
from services.models.checkpoint import checkpoint_model
from trainer.evaluation.evaluator import Judge, Subject, evaluate, generate_only
from trainer.evaluation.journal import read_generations
from trainer.evaluation.judge_words import describe_judge
from trainer.evaluation.sample import Generation, Identity, SamplePlan, plan_samples
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.verdict_cache import VerdictCache
from trainer.grpo.codec import Codec
from trainer.tasks.task import Task

RAY_NICENESS = 15
"""What Ray gives its workers, and so the evaluator's engine: the yardstick must not be scheduled before it."""

MARK = "bare-vllm "
"""Begins a line that is an answer of the yardstick: vLLM prints too."""


class Bare:
    """A process with vLLM alone."""

    def __init__(self, folder: Path, eos: int, settings: Any, kind: str = "LLM") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare_vllm", str(folder), str(eos), settings.model_dump_json(), kind],
            env={**os.environ, **engine_environment(settings)},
            preexec_fn=lambda: os.nice(RAY_NICENESS), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def round(self, requests: Sequence[dict[str, Any]]) -> tuple[int, float]:
        """Tokens and seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(requests) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                answer = json.loads(line.removeprefix(MARK))
                return answer["tokens"], answer["seconds"]
        raise RuntimeError("vLLM ended; run `python -m benchmarks.bare_vllm` by hand to see why")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()


async def measure(
    checkpoint: Path, config: RunConfig, tasks: Sequence[Task], settings: EvaluationSettings, rounds: int
) -> dict[str, Any]:
    """All figures."""
    codec = Codec(checkpoint)
    model = checkpoint_model(checkpoint, tasks, config, "base", settings.max_tokens)
    farm = FarmSettings(workers=1, clippy=True, cache_size=0)
    judged_by = describe_judge(farm)
    subject = Subject("model", str(checkpoint), Identity(model.sha256, judged_by), model.forms, model.facts)
    plans = plan_samples(tasks, settings, subject.identity)
    ids = {task.id: codec.encode(task.prompt) for task in tasks}
    longest = max(map(len, ids.values())) + settings.max_tokens
    requests = [
        {"ids": ids[p.task.id], "temperature": p.temperature, "max_tokens": settings.max_tokens, "seed": p.seed}
        for p in plans
    ]
    bare = Bare(checkpoint, codec.eos_token_id, config.rollout.model_copy(update={"max_model_len": longest}))
    scorer = Scorer(farm)

    async def judge(submission: Submission) -> Verdict:
        return await asyncio.wrap_future(scorer.submit(submission))

    early: list[float] = []

    async def timed(folder: str, answers: Any, judge: Judge | None) -> float:
        out = Path(scratch) / folder
        judged, at_last = 0, 0

        async def counting(submission: Submission) -> Verdict:
            nonlocal judged
            verdict = await judge(submission)
            judged += 1
            return verdict

        async def watched(asked: Sequence[SamplePlan]) -> AsyncIterator[Generation]:
            nonlocal at_last
            async for generated in model.answers(asked):
                at_last = judged
                yield generated

        begin = time.perf_counter()
        if judge is None:
            await generate_only(subject, tasks, answers=answers, settings=settings, out_dir=out)
        else:
            source = watched if answers is not None else None
            await evaluate(subject, tasks, answers=source, judge=counting, settings=settings, out_dir=out)
            early.append(at_last / max(judged, 1))
        return time.perf_counter() - begin

    with tempfile.TemporaryDirectory() as scratch:
        try:
            bare.round(requests)  # both engines are warm before anything counts
            await timed("warm", model.answers, None)
            bare_rates, our_rates, overlapped = [], [], []
            for number in range(rounds):
                tokens, seconds = bare.round(requests)
                bare_rates.append(tokens / seconds)
                seconds = await timed(f"g{number}", model.answers, None)
                made = read_generations(Path(scratch) / f"g{number}" / "model.generations.jsonl")
                our_rates.append(sum(each.tokens for each in made.values()) / seconds)
                overlapped.append(await timed(f"e{number}", model.answers, judge))
            generate = sum(each.tokens for each in made.values()) / statistics.median(our_rates)
            while_generating = statistics.median(early)
            alone = await timed("g0", None, judge)
            cold = VerdictCache(Path(scratch) / "verdicts.sqlite", judged_by)
            first = await timed("g1", None, cold.through(judge))
            cold.close()
            warm = VerdictCache(Path(scratch) / "verdicts.sqlite", judged_by)
            second = await timed("g2", None, warm.through(judge))
            hits = warm.hits
            warm.close()
            begin = time.perf_counter()
            await evaluate(
                subject, tasks, answers=model.answers, judge=judge, settings=settings, out_dir=Path(scratch) / "e0"
            )
            again = time.perf_counter() - begin
        finally:
            await model.close()
            bare.close()
            scorer.close()
    whole = statistics.median(overlapped)
    return {
        "samples": len(plans),
        "tokens": sum(each.tokens for each in made.values()),
        "bare_tokens_per_second": bare_rates,
        "our_tokens_per_second": our_rates,
        "share_of_bare": statistics.median(ours / theirs for ours, theirs in zip(our_rates, bare_rates, strict=True)),
        "generate_seconds": generate,
        "judge_seconds": alone,
        "generate_and_judge_seconds": whole,
        "judged_while_generating": while_generating,
        "hidden_by_overlap": (generate + alone - whole) / min(generate, alone),
        "judge_first_seconds": first,
        "judge_through_cache_seconds": second,
        "cache_hits": hits,
        "cache_speedup": first / second,
        "same_command_again_seconds": again,
        "same_command_speedup": whole / again,
    }

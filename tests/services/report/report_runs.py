"""Run folders written by the parts that write them in a run; only the verdicts are made up, so that rates are known."""

from __future__ import annotations

from pathlib import Path

from reward_farm.verdict import CaseResult, Diagnostic, Outcome, RewardBreakdown, Scored, SyntaxMetrics
from services.metrics_log import MetricsLog
from trainer.evaluation.evaluation import Evaluation, summarise
from trainer.evaluation.journal import write_samples
from trainer.evaluation.sample import Mode, Sample
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.task import Split

HOSTILE = "\n    </code></pre><script>alert('owned')</script><img src=x onerror=alert(1)> & \"\n}\n"

REWARDS = {
    Outcome.PASSED: RewardBreakdown(4, 6, 1, 12, 5),
    Outcome.TEST_FAILED: RewardBreakdown(4, 6, 1, 2, 0),
    Outcome.COMPILE_ERROR: RewardBreakdown(4),
}

TASKS = 20

RATES = {"base": (2, 1), "supervised": (8, 4), "rl": (15, 9)}
"""Of 20 tasks of each split: how many compile, and how many of those pass."""


def outcome_of(label: str, number: int) -> Outcome:
    """The first tasks pass, the next compile, the rest don't. Task 0 is one that RL lost."""
    compiled, passed = RATES[label]
    place = TASKS - 1 if label == "rl" and number == 0 else number - 1 if label == "rl" else number
    return Outcome.PASSED if place < passed else Outcome.TEST_FAILED if place < compiled else Outcome.COMPILE_ERROR


def sample(label: str, split: Split, number: int, mode: Mode) -> Sample:
    outcome = outcome_of(label, number)
    key = f"{label}-{split}-{number}-{mode}"
    scored = Scored(
        key,
        outcome,
        REWARDS[outcome],
        diagnostics=(Diagnostic("error", "E0308", "expected `<T>`, found `&str`", 2, 5),)
        if outcome is Outcome.COMPILE_ERROR
        else (),
        cases=(CaseResult("failed", "<b>9</b>"),) if outcome is Outcome.TEST_FAILED else (),
        metrics=SyntaxMetrics(3, 1, 1, True, False, 0, 1.5, 1),
    )
    family = f"family_{number % 3}"
    prompt = "/// Adds <one>.\npub fn add_one(n: i32) -> i32 {"
    return Sample(key, f"{split.value}_{number}", family, split, mode, 0, prompt, HOSTILE, 20 + number, False, scored)


def write_evaluation(root: Path, label: str) -> Evaluation:
    settings = EvaluationSettings(samples_per_task=1)
    samples = [
        sample(label, split, number, mode)
        for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES)
        for number in range(TASKS)
        for mode in (Mode.SAMPLED, Mode.GREEDY)
    ]
    write_samples(root / "evaluation" / f"{label}.jsonl", samples)
    evaluation = Evaluation(
        label=label,
        checkpoint=f"checkpoints/{label}",
        checkpoint_sha256="ab" * 32,
        benchmark_sha256="cd" * 32,
        judged_by="rustc 1.90.0",
        settings=settings,
        seconds=3.0,
        reused_samples=0,
        faults={},
        groups=summarise(samples, settings),
    )
    evaluation.save(root / "evaluation")
    return evaluation


def write_metrics(root: Path, steps: int = 40) -> None:
    log = MetricsLog(root / "metrics.jsonl")
    for step in range(1, steps + 1):
        phase = "base" if step <= steps // 4 else "supervised"
        log.write(phase, step, {"loss": 7 / step + 1, "tokens": step * 4096, "learning_rate": 1e-3})
    for iteration in range(21):
        row: dict[str, float] = {}
        if iteration:
            row = {"reward_mean": 8 + iteration / 4, "compile_rate": 0.4 + iteration / 100, "pass_rate": iteration / 80}
            row |= {"completion_length": 60 - iteration, "distinct_share": 0.9, "completions": 96.0}
        if iteration % 10 == 0:
            row |= {"unseen_tasks/compile_rate": 0.4 + iteration / 90, "unseen_families/compile_rate": 0.3}
        log.write("rl", iteration, row)
    log.close()

"""Several finished runs of one preset, each with its control arm, as one result: a Markdown table and a plot.

    for seed in 0 1 2; do ferrotype run --preset embedded --run-dir runs/seed$seed --set seed=$seed
                          ferrotype control --run-dir runs/seed$seed; done
    python -m benchmarks.seeds runs/seed0 runs/seed1 runs/seed2 --plot docs/results/seeds.png

A difference is paired by task within its run, and tasks of all runs are pooled: each seed draws its own tasks and
model. Rates and figures are means over runs, with the lowest and the highest run.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from operator import attrgetter
from pathlib import Path

import numpy as np

from reward_farm.verdict import Scored
from services.metrics_log import read_metrics
from services.run_folder import RunFolder
from trainer.evaluation.evaluation import Evaluation, Group, load_evaluation
from trainer.evaluation.sample import Mode, Sample
from trainer.evaluation.statistics import paired_difference
from trainer.tasks.task import Split

ARMS = ("supervised", "rl", "control")
SPLITS = (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES)
RATES = {"compile_rate": "compiles", "pass_rate": "passes all tests"}
FIGURES = {**RATES, "completion_tokens": "tokens", "distinct_share": "distinct answers"}


def main() -> None:
    """Print the tables, and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path, help="where to draw what GRPO did in each run")
    options = parser.parse_args()
    runs = [RunFolder(path) for path in options.runs]
    loaded = [{arm: load_evaluation(run.root / "evaluation" / f"{arm}.json") for arm in ARMS} for run in runs]
    print(f"| on | arm | {' | '.join(FIGURES.values())} |\n| --- | --- |{' ---: |' * len(FIGURES)}")
    for split in SPLITS:
        for arm in ARMS:
            cells = []
            for name in FIGURES:
                groups = [_sampled(run[arm][0], split) for run in loaded]
                values = [float(group.figures[name].value or 0.0) for group in groups]
                scale, unit = (1, "") if name == "completion_tokens" else (100, " %")
                cells.append(
                    f"{_mean(values) * scale:.1f}{unit} [{min(values) * scale:.1f}, {max(values) * scale:.1f}]"
                )
            print(f"| {split.value.replace('_', ' ')} | {arm} | {' | '.join(cells)} |")
    print("\n| on | difference | figure | points | p |\n| --- | --- | --- | ---: | ---: |")
    for split in SPLITS:
        for before, after in (("supervised", "rl"), ("supervised", "control"), ("control", "rl")):
            for name, title in RATES.items():
                pairs: list[tuple[float, float]] = []
                for run in loaded:
                    left, right = (_task_rates(run[arm][1], split, name) for arm in (before, after))
                    pairs += [(left[task], right[task]) for task in sorted(left.keys() & right.keys())]
                found = paired_difference(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]), seed=0)
                points = f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
                p = "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
                print(f"| {split.value.replace('_', ' ')} | {after} − {before} | {title} | {points} | {p} |")
    if options.plot:
        draw(runs, options.plot)


def draw(runs: list[RunFolder], path: Path) -> None:
    """Each run's figures over the iterations of GRPO, smoothed over nine."""
    import matplotlib.pyplot as plt

    shown = {"reward_mean": "reward (of 30)", "compile_rate": "compiles", "pass_rate": "passes all tests",
             "completion_length": "tokens a completion", "distinct_share": "distinct completions",
             "entropy": "entropy (nats)"}  # fmt: skip
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.6), sharex=True)
    for run in runs:
        rows = [row for row in read_metrics(run.metrics_file) if row["phase"] == "rl" and "seconds" in row]
        for axis, name in zip(axes.flat, shown, strict=True):
            values = np.convolve([row[name] for row in rows], np.ones(9) / 9, "valid")
            axis.plot(np.arange(len(values)) + 5, values, label=run.root.name, linewidth=1.4)
            axis.set_title(shown[name], fontsize=10)
            axis.grid(alpha=0.25)
    for axis in axes[1]:
        axis.set_xlabel("iteration")
    axes[0][0].legend(fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _sampled(evaluation: Evaluation, split: Split) -> Group:
    return next(g for g in evaluation.groups if (g.split, g.mode, g.family) == (split, Mode.SAMPLED, None))


def _task_rates(samples: list[Sample], split: Split, name: str) -> dict[str, float]:
    by_task: dict[str, list[Scored]] = defaultdict(list)
    for sample in samples:
        if (sample.split, sample.mode) == (split, Mode.SAMPLED) and sample.scored is not None:
            by_task[sample.task].append(sample.scored)
    right = attrgetter({"compile_rate": "compiled", "pass_rate": "passed"}[name])
    return {task: _mean([float(right(verdict)) for verdict in verdicts]) for task, verdicts in by_task.items()}


def _mean(values: list[float]) -> float:
    return statistics.mean(values)


if __name__ == "__main__":
    main()

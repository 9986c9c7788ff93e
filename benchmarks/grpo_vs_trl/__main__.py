"""Ferrotype's GRPO beside TRL's GRPOTrainer on this machine's CPU: time, tokens and reward of the same training.

    pip install --no-deps --target DIR trl==1.16.0 datasets==5.2.0 accelerate==1.15.0 dill multiprocess xxhash pandas \\
        python-dateutil pytz tzdata six
    python -m benchmarks.grpo_vs_trl --trl-path DIR \\
        --checkpoint runs/embedded/checkpoints/production-supervised/step_520

TRL is no dependency of this project, and is only seen by its own arm's process. Both arms start from the same float
weights (of a ternary checkpoint, those that it computes with: TRL knows no other) and take the same prompts in the
same order, with the same loss, optimizer, learning rate and reward. They run in turns, never at once, each first as
often as the other. TRL is first tried with one torch thread and with several, and with its batch whole and in parts;
the fastest is compared. Both arms may use every core.

Then Ferrotype trains once more without overlap (max_lag = 0), which shows what each stage takes alone, and its rollouts
are measured beside bare vLLM. All of it ends within about --minutes; with --work, a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.grpo_vs_trl.arena import Arena, ArmFailed
from benchmarks.grpo_vs_trl.figures import compare, equal_steps, overlap
from benchmarks.grpo_vs_trl.job import Job, Step
from benchmarks.grpo_vs_trl.table import chart, show
from trainer.grpo.settings import GrpoSettings

TRIAL_STEPS = 2
"""Of each way of running TRL. The first pays for allocations; the last counts."""

TRIAL, TRL, FERROTYPE, SYNCHRONOUS = 0.05, 0.36, 0.16, 0.09
"""Shares of the minutes: of one trial, of all rounds of each arm. The rest is for processes to start and end."""


def main() -> None:
    options = _options()
    # An arm in hand is ended with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="grpo-vs-trl-") as name:
        folder = options.work or Path(name)
        arena = Arena(folder, options.checkpoint, options.trl_path, options.seed, 60 * options.minutes)
        report, runs = Comparison(arena, options).run()
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot and runs["trl"] and runs["ferrotype"]:
        options.plot.write_text(chart(runs["trl"], runs["ferrotype"]))


class Comparison:
    """All runs, in turns, and what they show. An arm that fails is named, and the rest is shown."""

    def __init__(self, arena: Arena, options: argparse.Namespace) -> None:
        self._arena, self._options = arena, options
        self._notes: list[str] = []
        self._runs: dict[str, list[list[Step]]] = {"trl": [], "ferrotype": [], "synchronous": []}

    def run(self) -> tuple[dict[str, Any], dict[str, list[list[Step]]]]:
        """The report, and the steps of each arm, round by round."""
        before, cores = os.getloadavg()[0], os.cpu_count() or 1
        options, runs = self._options, self._runs
        tried = self._trial(cores)
        for number in range(options.rounds):
            for arm in ("trl", "ferrotype") if number % 2 == 0 else ("ferrotype", "trl"):
                self._round(arm, number, min(tried, key=lambda each: each[1])[0] if tried else None)
        self._round("synchronous", 0, None)
        rollout = self._asked(self._arena.rollout, options.prompts, options.group_size, options.max_completion_tokens)
        report: dict[str, Any] = {
            "machine": {"cores": cores, "load_before": before, "load_after": os.getloadavg()[0]},
            "sizes": {name: getattr(options, name) for name in SIZES},
            "tried": [
                {"threads": job.threads, "micro_batch": job.micro_batch or job.batch, "seconds": seconds}
                for job, seconds in tried
            ],
            "notes": self._notes,
            "rollout": rollout,
            "overlap": None,
            "compared": None,
            "runs": {arm: [[asdict(step) for step in run] for run in rounds] for arm, rounds in runs.items()},
        }
        trl, ours = equal_steps(runs["trl"], runs["ferrotype"])
        if trl and len(trl[0]) > options.warmup + 1:
            report["compared"] = compare(trl, ours, options.warmup, options.goal)
        if runs["ferrotype"] and runs["synchronous"]:
            report["overlap"] = overlap(runs["ferrotype"], runs["synchronous"], options.warmup, cores)
        return report, runs

    def _trial(self, cores: int) -> list[tuple[Job, float]]:
        """Ways of running TRL, each with its seconds a step."""
        tried = []
        for threads in sorted({1, cores}):
            for micro in (0, 2 * self._options.group_size):
                job = self._job(f"trial-{threads}-{micro}", 0, TRIAL, steps=TRIAL_STEPS, judges=cores,
                                threads=threads, micro_batch=micro)  # fmt: skip
                if steps := self._asked(self._arena.run, "trl", job):
                    tried.append((job, steps[-1].seconds))
        return tried

    def _round(self, arm: str, number: int, best: Job | None) -> None:
        rounds, cores = self._options.rounds, os.cpu_count() or 1
        if arm == "trl":
            # Nothing else computes while it samples, judges or learns, so each may have all cores.
            ways = {"threads": best.threads, "micro_batch": best.micro_batch} if best else {}
            job = self._job(f"trl-{number}", number, TRL / rounds, judges=cores, **ways)
        elif arm == "ferrotype":
            job = self._job(f"ferrotype-{number}", number, FERROTYPE / rounds, max_lag=self._options.max_lag)
        else:
            job = self._job("synchronous-0", 0, SYNCHRONOUS, max_lag=0)
        if steps := self._asked(self._arena.run, "trl" if arm == "trl" else "ferrotype", job):
            self._runs[arm].append(steps)

    def _asked(self, what: Any, *arguments: Any) -> Any:
        """What it gives, or None and a note."""
        try:
            return what(*arguments)
        except ArmFailed as error:
            self._notes.append(str(error))
            return None

    def _job(self, name: str, round_: int, share: float, **fields: Any) -> Job:
        options, defaults = self._options, GrpoSettings()
        job = Job(
            name=name,
            model=str(self._arena.model),
            tasks=str(self._arena.tasks),
            seed=options.seed + round_,
            steps=options.steps,
            prompts=options.prompts,
            group=options.group_size,
            completion_tokens=options.max_completion_tokens,
            learning_rate=options.learning_rate,
            clip_low=defaults.clip_low,
            clip_high=defaults.clip_high,
            seconds=60 * options.minutes * share,
        )
        return replace(job, **fields)


SIZES = (
    "steps", "warmup", "rounds", "prompts", "group_size", "max_completion_tokens", "learning_rate", "max_lag", "seed",
)  # fmt: skip
"""Options that the report repeats."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grpo_vs_trl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trl-path", type=Path, required=True, help="folder with TRL, put on its process's PYTHONPATH")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint that both train on")
    parser.add_argument("--minutes", type=float, default=12, help="that all of it may take")
    parser.add_argument("--steps", type=int, default=16, help="optimizer steps a round")
    parser.add_argument("--warmup", type=int, default=2, help="of them, first ones whose time doesn't count")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each arm, with seeds of their own")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--max-completion-tokens", type=int, default=96)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--max-lag", type=int, default=1, help="Ferrotype's")
    parser.add_argument("--goal", type=float, help="reward whose time is looked for; the highest that all runs reach")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder of the runs; those that it has whole aren't run again")
    parser.add_argument("--json", type=Path, help="also write the figures and every step to this file")
    parser.add_argument("--plot", type=Path, help="also draw the rewards to this SVG file")
    options = parser.parse_args()
    if not (options.trl_path / "trl").is_dir():
        parser.error(f"--trl-path {options.trl_path} holds no trl; fill it as --help says")
    if not (options.checkpoint / "model.safetensors").exists():
        parser.error(f"--checkpoint {options.checkpoint} has no model.safetensors; give a folder such as step_520")
    if options.steps < options.warmup + 3 or options.rounds < 1 or options.max_lag < 1:
        parser.error("give at least --warmup and three more --steps, and one of --rounds and of --max-lag")
    return options


if __name__ == "__main__":
    main()

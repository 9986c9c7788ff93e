"""How fast evaluation is: `python -m benchmarks.evaluation --checkpoint RUN/checkpoints/production-rl/rl-iter-170`.

Rounds of the same requests go in turn to bare vLLM and to the evaluator, each with an engine that is up. Then the
evaluator asks and judges at once, judges alone, and judges the same samples again through the cache of verdicts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from services.config import resolve
from services.environment import prepare
from services.run_folder import RunFolder
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a run, or any with --bank")
    parser.add_argument("--bank", type=Path, help="of tasks; else those of the checkpoint's run")
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepare()  # before Ray is imported
    from benchmarks.evaluation_rounds import measure

    config = resolve("embedded") if options.bank else RunFolder.of(options.checkpoint).config()
    bank = TaskBank.load(options.bank or RunFolder.of(options.checkpoint).tasks)
    tasks = bank.sample(Split.UNSEEN_TASKS, options.tasks)
    settings = EvaluationSettings(
        samples_per_task=options.samples, greedy=False, max_tokens=options.max_tokens, extract=True, clippy=True
    )
    print(json.dumps(asyncio.run(measure(options.checkpoint, config, tasks, settings, options.rounds)), indent=1))


if __name__ == "__main__":
    main()

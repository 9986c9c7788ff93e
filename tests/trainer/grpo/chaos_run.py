"""A phase that trains a tiny policy, for `test_chaos` to kill: `chaos_run.py START RUN_DIR HOW EVENT_FD`.

HOW is JSON: iterations, max_lag, replicas.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.environment import prepare

prepare()  # before Ray is imported

from grpo_builders import make_task  # noqa: E402

from reward_farm.settings import FarmSettings  # noqa: E402
from rollout.settings import RolloutSettings  # noqa: E402
from services.cluster import ray_cluster  # noqa: E402
from services.config import ClusterSettings  # noqa: E402
from services.events import Reporter  # noqa: E402
from services.run_folder import RunFolder  # noqa: E402
from services.worker import die_with_parent, report  # noqa: E402
from trainer.grpo.run import train  # noqa: E402
from trainer.grpo.settings import GrpoSettings  # noqa: E402
from trainer.grpo.task_order import ShuffledTasks  # noqa: E402

PROMPTS, GROUP = 4, 4


def work(
    start: Path, run: RunFolder, iterations: int, max_lag: int, replicas: int, reporter: Reporter
) -> dict[str, object]:
    settings = GrpoSettings(
        iterations=iterations,
        prompts_per_step=PROMPTS,
        group_size=GROUP,
        max_completion_tokens=32,
        max_lag=max_lag,
        learners=1,
        learning_rate=2e-3,
        evaluation_interval=iterations,
        checkpoint_interval=iterations,
        rollout_deadline_seconds=240,
    )
    rollout = RolloutSettings(
        replicas=replicas, kv_cache_mb=32, max_model_len=128, max_num_seqs=16, max_restarts=100,
        start_deadline_seconds=180, heartbeat_seconds=1, suspect_seconds=5,
    )  # fmt: skip
    with ray_cluster(ClusterSettings()):
        for record in train(
            settings,
            rollout=rollout,
            farm=FarmSettings(),
            start=start,
            directory=run.rl,
            tasks=ShuffledTasks([make_task(n) for n in range(10)], seed=1),
            trace=run.traces,
        ):
            reporter.progress(record.iteration, record.last_iteration, {}, record.metrics)
            for event in record.events:
                reporter.note(event)
    return {}


if __name__ == "__main__":
    die_with_parent()
    start, run, how, descriptor = Path(sys.argv[1]), RunFolder(Path(sys.argv[2])), sys.argv[3], int(sys.argv[4])
    sys.exit(report(lambda reporter: work(start, run, **json.loads(how), reporter=reporter), descriptor))

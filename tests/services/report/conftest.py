"""Run folders, begun and finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from report_runs import RATES, write_evaluation, write_metrics

from services.config import resolve, to_toml
from services.run_folder import Finished, RunFolder, write_text


@pytest.fixture
def start_run(tmp_path: Path) -> Callable[[], RunFolder]:
    """A run folder with a configuration and nothing else."""

    def make() -> RunFolder:
        run = RunFolder(tmp_path / "runs" / "small")
        write_text(run.config_file, to_toml(resolve("embedded")))
        return run

    return make


@pytest.fixture
def finished_run(start_run: Callable[[], RunFolder]) -> RunFolder:
    """A run in which all but the report is done."""
    run = start_run()
    for label in RATES:
        write_evaluation(run.root, label)
    write_metrics(run.root)
    for phase, seconds, summary in (
        ("supervised", 61.0, {"checkpoint": "checkpoints/supervised/step_40", "loss": 1.25}),
        ("rl", 125.0, {"checkpoint": "checkpoints/rl/rl-iter-20"}),
        ("export", 9.0, {"type": "TQ2_0", "megabytes": 1.6, "f16_megabytes": 7.1, "argmax_agreement": 0.9969}),
    ):
        run.finish(Finished(phase, 0.0, seconds, 1234, dict(summary)))
    return run

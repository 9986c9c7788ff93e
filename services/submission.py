"""What is sent to a cluster to start a run there: our code, the resolved configuration, a command."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.config import RunConfig, to_toml
from services.environment import QUIET
from services.pipeline import GRACE_SECONDS

PACKAGES = ("services", "trainer", "rollout", "reward_farm", "serve")
CONFIG = "run.toml"


@dataclass(frozen=True, slots=True)
class Submission:
    """A run to start, or to go on with. `run_dir`, and paths in `config`, are the cluster's, not this machine's."""

    preset: str
    config: RunConfig
    run_dir: Path

    @property
    def entrypoint(self) -> str:
        """The job's command, in the folder that was sent."""
        words = ["python", "-m", "services", "run", "--preset", self.preset, "--config", CONFIG]
        return shlex.join([*words, "--run-dir", str(self.run_dir)])

    @property
    def metadata(self) -> dict[str, str]:
        """What the cluster's list of jobs says of it."""
        return {"preset": self.preset, "run_dir": str(self.run_dir)}

    @contextmanager
    def runtime_env(self) -> Iterator[dict[str, Any]]:
        """Ray's runtime environment, as long as the block runs: the packages as they are here, and the configuration.

        The libraries are the cluster's own, from requirements/*.lock.
        """
        root = Path(__file__).parents[1]
        with TemporaryDirectory(prefix="ferrotype-submission-") as place:
            for package in PACKAGES:
                shutil.copytree(root / package, Path(place, package), ignore=shutil.ignore_patterns("__pycache__"))
            Path(place, CONFIG).write_text(to_toml(self.config))
            # Ray's own grace of 3 s would kill a run in the middle of the step that it is asked to finish.
            stop = {"RAY_JOB_STOP_WAIT_TIME_S": str(round(GRACE_SECONDS))}
            yield {"working_dir": place, "env_vars": {**QUIET, **stop}}

"""The model and the tasks that both arms train on, and the processes in which they do, in turns.

Every run leaves its job and its steps in the arena's folder; one that is there, whole, isn't run again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.grpo_vs_trl.job import Job, Step, read_job, read_steps, write_job
from services.environment import threads
from trainer.checkpoint import TOKENIZER_FILES
from trainer.tasks.bank import build_bank

START_SECONDS = 90.0
"""What a process may take to load its libraries and engines, and to end them, beside its job's seconds."""
ROLLOUT_SECONDS = 150.0
LEAST_SECONDS = 20.0
"""In which a process can do something that counts."""
LAST_LINES = 25


class ArmFailed(Exception):
    """An arm's process ended with an error, or hung; the text ends with its last words."""


class Arena:
    """See the module."""

    def __init__(self, folder: Path, checkpoint: Path, trl: Path, bank_seed: int, seconds: float) -> None:
        self._folder, self._trl = folder, trl
        self._over = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True)
        self.model, self.tasks = folder / "model", folder / "tasks.jsonl"
        if not self.model.exists():
            plain_model(checkpoint, self.model)
        if not self.tasks.exists():
            # As many and as hard as in the embedded preset.
            build_bank(bank_seed, train_per_family=32, max_difficulty=0.6).save(self.tasks)

    def run(self, arm: str, job: Job) -> list[Step]:
        """Train in a process of its own, and give back the steps. Raises ArmFailed."""
        path, out, log = (self._folder / f"{job.name}.{kind}" for kind in ("json", "jsonl", "log"))
        done = self._folder / f"{job.name}.done"
        if done.exists() and read_job(path) == job:
            return read_steps(out)
        done.unlink(missing_ok=True)
        write_job(path, job)
        command = [sys.executable, "-m", f"benchmarks.grpo_vs_trl.{arm}_arm", str(path), str(out)]
        if self._call(command, arm, log, job.seconds + START_SECONDS) != 0 or not (steps := read_steps(out)):
            raise ArmFailed(f"{job.name} failed, or did not end; the last it said:\n{_tail(log)}")
        done.touch()
        return steps

    def rollout(self, prompts: int, group: int, completion_tokens: int) -> dict[str, Any]:
        """Figures of `benchmarks.rollout` with the same model, tasks and sizes. Raises ArmFailed."""
        out, log = self._folder / "rollout.figures", self._folder / "rollout.log"
        sizes = ["--prompts", prompts, "--group-size", group, "--max-completion-tokens", completion_tokens]
        command = [sys.executable, "-m", "benchmarks.rollout", "--checkpoint", self.model, "--tasks", self.tasks]
        if not out.exists():
            asked = [*map(str, [*command, *sizes, "--json", out])]
            if self._call(asked, "rollout", log, ROLLOUT_SECONDS) != 0 or not out.exists():
                raise ArmFailed(f"benchmarks.rollout failed, or did not end; the last it said:\n{_tail(log)}")
        return json.loads(out.read_text())

    def _call(self, command: Sequence[str], arm: str, log: Path, seconds: float) -> int | None:
        """Run to the end, or to the end of its time: None. Nothing that it started is left."""
        left = self._over - time.monotonic()
        if left < LEAST_SECONDS:
            raise ArmFailed(f"no time was left for {log.stem}; raise --minutes")
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, env=self._environment(arm), stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
            try:
                return process.wait(min(seconds, left))
            except subprocess.TimeoutExpired:
                return None
            finally:
                _end(process)

    def _environment(self, arm: str) -> dict[str, str]:
        environment = {**os.environ, **threads(alone=False)}
        if arm == "trl":
            # Its job says with how many threads it computes.
            del environment["OMP_NUM_THREADS"]
            known = filter(None, [os.environ.get("PYTHONPATH")])
            environment |= {"PYTHONPATH": os.pathsep.join([str(self._trl.resolve()), *known]), "HF_HUB_OFFLINE": "1"}
        return environment


def plain_model(checkpoint: Path, folder: Path) -> None:
    """A checkpoint as a float model of Hugging Face's: what it computes with, without what training holds beside."""
    folder.mkdir()
    for name in ("model.safetensors", *TOKENIZER_FILES):
        if (checkpoint / name).exists():
            shutil.copy2(checkpoint / name, folder / name)
    config = json.loads((checkpoint / "config.json").read_text())
    config.pop("ferrotype", None)
    (folder / "config.json").write_text(json.dumps(config))


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid)
        for each in (started, *started.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])

"""A run's folder: where everything is, who holds it, and which phases are finished. Never runs anything.

runs/<name>/
  config.toml  metrics.jsonl  run.lock
  logs/production_training_<time>.log
  state/<phase>.json                     a finished phase and its summary
  data/  traces/  tensorboard/  evaluation/  report/  checkpoints/
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.config import RunConfig, changes, resolve, to_toml
from services.errors import ConfigError, RunFolderError


@dataclass(frozen=True, slots=True)
class Finished:
    """A phase that is done: when (seconds since the epoch), after how long, at which peak memory, with what result."""

    phase: str
    finished_at: float
    seconds: float
    peak_memory_mb: int
    summary: dict[str, Any]


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "config.toml"
        self.metrics_file = root / "metrics.jsonl"
        self.logs = root / "logs"
        self.states = root / "state"
        self.data = root / "data"
        self.tasks = self.data / "tasks.jsonl"
        self.tokenizer = self.data / "tokenizer"
        self.tokens = self.data / "rust_tokens.bin"
        self.task_tokens = self.data / "task_tokens.bin"
        self.traces = root / "traces"
        self.tensorboard = root / "tensorboard"
        self.evaluation = root / "evaluation"
        self.report = root / "report"
        self.checkpoints = root / "checkpoints"
        self.imported = self.checkpoints / "imported"
        self.base = self.checkpoints / "rust-base"
        self.supervised = self.checkpoints / "production-supervised"
        self.rl = self.checkpoints / "production-rl"
        self.gguf = self.checkpoints / "production-final" / "model.gguf"

    @classmethod
    def of(cls, checkpoint: Path) -> RunFolder:
        """The run that a checkpoint lies in.

        Raises:
            RunFolderError: it lies in none.
        """
        for folder in checkpoint.absolute().parents:
            if (folder / "config.toml").is_file() and (folder / "state").is_dir():
                return cls(folder)
        raise RunFolderError(
            f"{checkpoint} lies in no run's folder: give a checkpoint such as RUN/checkpoints/.../step_360"
        )

    def config(self) -> RunConfig:
        """What the run was made with."""
        return resolve(self.config_file)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder; the kernel lets go of it when the process ends, however it ends.

        Raises:
            RunFolderError: another process holds it, or the folder can't be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "run.lock").open("a+")
        except OSError as error:
            raise RunFolderError(f"the run folder {self.root} can't be used: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RunFolderError(
                    f"{self.root} is held by process {lock.read().strip() or 'unknown'}. Wait for it, follow it with "
                    f"./scripts/monitor_production.sh {self.root}, or take another folder with --run-dir."
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def accept(self, config: RunConfig) -> bool:
        """Whether the folder is empty or a run of `config` already; False if it only holds pieces of another's corpus.

        Raises:
            ConfigError: it is a run, with other values of keys that decide its result.
        """
        differing = changes(self.config(), config) if self.config_file.exists() else {}
        if differing and any(self.states.glob("*.json")):
            lines = "\n".join(f"  {key}: {old!r} in the run, {new!r} now" for key, (old, new) in differing.items())
            raise ConfigError(
                f"{self.root} is a run with another configuration:\n{lines}\n"
                "Take a new folder with --run-dir, or the old values. Only keys that say where and how fast may "
                "change (cluster.*, serve.*, threads, devices, workers, replicas)."
            )
        return not differing

    def adopt(self, config: RunConfig) -> None:
        """Make this folder a run of `config`; one that has finished a phase must be a run of the same.

        Before that only `data` can hold anything, pieces of a corpus: another configuration starts it afresh.

        Raises:
            ConfigError: as `accept`.
        """
        if not self.accept(config):
            shutil.rmtree(self.data, ignore_errors=True)
        write_text(self.config_file, to_toml(config))

    def finished(self, phase: str) -> Finished | None:
        """The phase's result if it is done.

        Raises:
            RunFolderError: its file is no longer what was written.
        """
        path = self._state(phase)
        try:
            return Finished(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise RunFolderError(
                f"{path} is corrupt ({error}). Remove it, and the phase {phase} is looked at again."
            ) from error

    def holds(self, result: Finished) -> bool:
        """Whether the checkpoint that a phase made is still there: a damaged one may have been removed."""
        return (self.root / str(result.summary.get("checkpoint", ""))).exists()

    def finish(self, result: Finished) -> None:
        """Note, whole or not at all, that a phase is done."""
        write_text(self._state(result.phase), json.dumps(asdict(result), indent=1))

    def summary(self, phase: str) -> Mapping[str, Any]:
        """The result of a phase that must be done by now.

        Raises:
            RunFolderError: it isn't.
        """
        if (result := self.finished(phase)) is None:
            raise RunFolderError(
                f"{self.root} has not finished the phase {phase} yet. Run: ferrotype run --run-dir {self.root}"
            )
        return result.summary

    def inside(self, path: Path) -> str:
        """A path for a summary: from the run's folder on, so that the folder may be moved."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path.absolute())

    def made(self, phase: str, what: str = "checkpoint") -> Path:
        """What a finished phase's summary says it made.

        Raises:
            RunFolderError: the phase is not done.
        """
        return self.root / str(self.summary(phase)[what])

    def _state(self, phase: str) -> Path:
        return self.states / f"{phase}.json"


def write_text(path: Path, text: str) -> None:
    """Write a file beside, fsync it, rename it: a reader sees the old text or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

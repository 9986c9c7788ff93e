"""What an arm is asked to train, and the lines that it writes of every step. Imports neither torch nor Ray."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from trainer.grpo.task_order import ShuffledTasks
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split


@dataclass(frozen=True, slots=True)
class Job:
    """A training run. Both arms take it but for the last lines, which are one arm's each."""

    name: str
    model: str
    tasks: str
    seed: int
    steps: int
    prompts: int
    group: int
    completion_tokens: int
    learning_rate: float
    clip_low: float
    clip_high: float
    seconds: float
    """After which no other step is begun."""

    max_lag: int = 1
    """Ferrotype's."""
    judges: int = 1
    """Sandboxes that judge at once."""
    threads: int = 1
    """torch threads."""
    micro_batch: int = 0
    """Completions that TRL's learner holds at once; 0 is all of a step. Ferrotype counts tokens instead."""
    vllm: bool = False
    """TRL samples with vLLM in its process, else with the model's own `generate`."""

    @property
    def batch(self) -> int:
        """Completions of an optimizer step."""
        return self.prompts * self.group

    def source(self) -> ShuffledTasks:
        """The prompts, in the order in which both arms take them."""
        return ShuffledTasks(TaskBank.load(Path(self.tasks)).tasks(Split.TRAIN), self.seed)


@dataclass(frozen=True, slots=True)
class Step:
    """An optimizer step as seen from outside: from the end of the one before to its own end."""

    step: int
    seconds: float
    cpu_seconds: float
    """Of the arm's process and all that it started. Other programs on the machine hardly change it."""
    reward: float
    tokens: int
    parts: dict[str, float] = field(default_factory=dict)
    """Where the seconds went, as far as the arm can tell."""


class Journal:
    """The file that an arm writes its steps to, and its clock."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._stream = path.open("w")
        self._seconds = seconds
        self._process = psutil.Process()
        self._ended = self._cpu = 0.0
        self.begin()

    @property
    def over(self) -> bool:
        """Whether the job's time is up."""
        return time.monotonic() > self._over

    @property
    def begun(self) -> float:
        """When the step in hand began, by `time.perf_counter`."""
        return self._ended

    def begin(self) -> None:
        """Now the first step begins."""
        self._over = time.monotonic() + self._seconds
        self._ended, self._cpu = time.perf_counter(), tree_cpu_seconds(self._process)

    def step(self, number: int, reward: float, tokens: int, parts: dict[str, float], spared: float = 0.0) -> None:
        """Write a step that ends now; `spared` seconds of it are no part of training."""
        now, cpu = time.perf_counter(), tree_cpu_seconds(self._process)
        step = Step(number, now - self._ended - spared, cpu - self._cpu, reward, tokens, parts)
        self._stream.write(json.dumps(asdict(step)) + "\n")
        self._stream.flush()
        print(f"step {number}: {step.seconds:.2f} s, reward {reward:.2f}, {tokens} tokens", file=sys.stderr, flush=True)
        self._ended, self._cpu = now, cpu

    def close(self) -> None:
        """No more steps."""
        self._stream.close()


def tree_cpu_seconds(root: psutil.Process) -> float:
    """CPU time of a process and its descendants, those that ended and were waited for included."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:  # it ended meanwhile; whoever waited for it has its time
            continue
    return total


def write_job(path: Path, job: Job) -> None:
    """For a process to read."""
    path.write_text(json.dumps(asdict(job), indent=1))


def read_job(path: Path) -> Job:
    """What `write_job` wrote."""
    return Job(**json.loads(path.read_text()))


def read_steps(path: Path) -> list[Step]:
    """The steps of a job; none where it has not begun."""
    return [Step(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

"""Whatever is killed, and whenever: each iteration is trained, no group twice, none too old, and it learns as well.

The pipeline's own supervisor starts the killed process again; nothing here helps it.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from chaos_run import GROUP, PROMPTS
from rich.console import Console
from safetensors.torch import load_file

from services.console import Operator
from services.metrics_log import read_metrics
from services.pipeline import Phase, run_phases
from services.run_folder import RunFolder
from trainer.checkpoint import newest_checkpoint, read_manifest
from trainer.grpo.run import PREFIX
from trainer.grpo.trace import TraceEntry, iteration_of, read_trace, trace_files

VICTIMS = {
    "engine": "VLLM::EngineCore",
    "rollout actor": "ray::RolloutActor",
    "reward worker": "ray::RustcWorker",
    "learner": "ray::_WrappedExecutable",  # what Ray Train calls it
    "driver": "chaos_run.py",
}
PROGRAM = Path(__file__).parent / "chaos_run.py"
RECOVERY_SECONDS = 300.0
"""From a kill to the next checkpoint: a start of everything, on a busy machine."""


@dataclass(frozen=True)
class Kill:
    """SIGKILL for a victim, so long after an iteration's checkpoint appeared."""

    iteration: int
    delay_seconds: float
    victim: str


class Run:
    """A run under the pipeline's supervisor, and a thread that kills."""

    def __init__(
        self, start: Path, root: Path, iterations: int, kills: Sequence[Kill] = (), max_lag: int = 1, replicas: int = 1
    ) -> None:
        self._how = json.dumps({"iterations": iterations, "max_lag": max_lag, "replicas": replicas})
        self._start, self._iterations, self._max_lag, self._left = start, iterations, max_lag, list(kills)
        self._ended = threading.Event()
        self.folder = RunFolder(root)
        self.first_seconds = 0.0
        self.recoveries: list[tuple[Kill, float]] = []

    def finish(self) -> None:
        operator = Operator(self.folder.logs / "production_training_chaos.log", Console(file=StringIO()))
        killer = threading.Thread(target=self._kill_them, daemon=True)
        killer.start()
        try:
            run_phases(
                self.folder,
                operator,
                (Phase("rl", "chaos", alone=False),),
                lambda _, run: [sys.executable, str(PROGRAM), str(self._start), str(run.root), self._how],
            )
        finally:
            self._ended.set()
            killer.join(10)
            operator.close()
        assert not self._left, f"never came to {self._left}"

    @property
    def log(self) -> str:
        return next(self.folder.logs.iterdir()).read_text()

    @property
    def new_processes(self) -> int:
        """Times that the supervisor started the phase again."""
        return self.log.count("it goes on in a new process")

    def check(self) -> list[TraceEntry]:
        """Every iteration trained and whole, no group twice or never, none older than the bound. Returns what was."""
        files = trace_files(self.folder.traces)
        assert [iteration_of(file) for file in files] == list(range(1, self._iterations + 1))
        trained = list(read_trace(files))
        assert Counter(entry.iteration for entry in trained) == dict.fromkeys(
            range(1, self._iterations + 1), PROMPTS * GROUP
        )
        assert set(Counter(entry.group for entry in trained).values()) == {GROUP}, "a group was trained twice"
        for entry in trained:
            oldest = min(span.version for span in entry.versions)
            assert 0 <= entry.iteration - 1 - oldest <= self._max_lag, entry
        cursor = read_manifest(self.folder.rl / f"{PREFIX}{self._iterations}").progress
        seen = sorted([*{entry.group for entry in trained}, *cursor["unfinished"]])
        assert seen == list(range(cursor["next_index"])), "a group was lost"
        return trained

    def table(self) -> str:
        """What was killed, and how long it took from there to the next checkpoint."""
        usual = float(np.median([row["seconds"] for row in read_metrics(self.folder.metrics_file) if row["step"]]))
        lines = [
            f"{kill.victim:<14}{kill.iteration:>9}{seconds:>9.1f} s{seconds / self.first_seconds:>9.2f}"
            for kill, seconds in self.recoveries
        ]
        head = f"{'killed':<14}{'after':>9}{'recovered':>11}{'of a start':>12}"
        foot = f"a start: {self.first_seconds:.1f} s to the first checkpoint; a step: {usual:.2f} s"
        return "\n".join([head, *lines, foot])

    def policy(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder.rl / f"{PREFIX}{self._iterations}" / "model.safetensors")

    def _kill_them(self) -> None:
        begun = time.monotonic()
        self._until(lambda: self._newest() >= 1)
        self.first_seconds = time.monotonic() - begun
        while self._left:
            kill = self._left[0]
            if not self._until(lambda: self._newest() >= kill.iteration):  # noqa: B023
                return
            time.sleep(kill.delay_seconds)
            victims: list[psutil.Process] = []
            while not victims:  # one that was killed lately has to come back first
                if self._ended.wait(0.05):
                    return
                victims = self._find(VICTIMS[kill.victim])
            killed, before = time.monotonic(), self._newest()
            with contextlib.suppress(psutil.NoSuchProcess):
                victims[0].kill()
            self._left.pop(0)
            if self._until(lambda: self._newest() > before):  # noqa: B023
                self.recoveries.append((kill, time.monotonic() - killed))

    def _until(self, condition: Callable[[], bool]) -> bool:
        """Whether it came true in time, and while the run goes on."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not condition():
            if self._ended.wait(0.02) or time.monotonic() > deadline:
                return condition()
        return True

    def _find(self, word: str) -> list[psutil.Process]:
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            phases = [p for p in psutil.Process().children() if str(self.folder.root) in p.cmdline()]
            for process in (*phases, *(child for phase in phases for child in phase.children(recursive=True))):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if word in " ".join(process.cmdline()) or word in process.name():
                        found.append(process)
        return found

    def _newest(self) -> int:
        path = newest_checkpoint(self.folder.rl, PREFIX)
        return int(path.name.removeprefix(PREFIX)) if path else 0


def rewards(trained: list[TraceEntry], last: int) -> np.ndarray:
    """Mean reward of each of the last iterations."""
    iterations = sorted({entry.iteration for entry in trained})[-last:]
    return np.array([
        np.mean([entry.scored.reward.total for entry in trained if entry.iteration == iteration and entry.scored])
        for iteration in iterations
    ])  # fmt: skip


@pytest.mark.slow
def test_an_engine_and_the_learner_are_killed(half_taught_dir: Path, tmp_path: Path) -> None:
    run = Run(half_taught_dir, tmp_path / "run", 8, [Kill(1, 0.1, "engine"), Kill(3, 0.2, "learner")])
    run.finish()
    print(run.table())
    run.check()
    assert run.new_processes == 0, "both are replaced in place"
    assert "a learner died; new ones go on from iteration" in run.log
    assert "rollout replica 0 was healthy and is dead" in run.log
    assert "rollout replica 0 was stale and is healthy" in run.log


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_synchronous_run_in_chaos_ends_as_it_would_have(half_taught_dir: Path, tmp_path: Path) -> None:
    """To the bit, whatever was sampled anew by whom."""
    kills = [Kill(2, 0.1, "engine"), Kill(4, 0.3, "reward worker"), Kill(6, 0.2, "driver"), Kill(8, 0.5, "learner")]
    policies = []
    for name, them in (("calm", []), ("chaos", kills)):
        run = Run(half_taught_dir, tmp_path / name, 12, them, max_lag=0)
        run.finish()
        run.check()
        policies.append(run.policy())
    calm, chaos = policies
    assert calm.keys() == chaos.keys()
    assert all(torch.equal(calm[name], chaos[name]) for name in calm)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_forty_iterations_in_chaos(half_taught_dir: Path, tmp_path: Path) -> None:
    """Ten kills, two of each kind, at random moments. Rewards are compared over the last ten iterations.

    Two undisturbed runs are the yardstick. The tolerance is three standard errors of the difference, plus what those
    two differ by: iterations of one run are not independent, so their spread alone would promise too much.
    """
    iterations, last = 40, 10
    dice = random.Random(0)
    # Iterations to spare: a kill may find its victim only some steps after the moment.
    moments = sorted(dice.sample(range(1, iterations - last), 2 * len(VICTIMS)))
    order = [*VICTIMS, *VICTIMS]
    dice.shuffle(order)
    kills = [Kill(at, dice.uniform(0, 0.3), victim) for at, victim in zip(moments, order, strict=True)]
    run = Run(half_taught_dir, tmp_path / "chaos", iterations, kills, replicas=2)
    run.finish()
    print(run.table())
    in_chaos = rewards(run.check(), last)
    calm = []
    for number in range(2):
        undisturbed = Run(half_taught_dir, tmp_path / f"calm{number}", iterations, replicas=2)
        undisturbed.finish()
        assert undisturbed.new_processes == 0
        calm.append(rewards(undisturbed.check(), last))
    yardstick = np.concatenate(calm)
    spread = np.sqrt(in_chaos.var(ddof=1) / len(in_chaos) + yardstick.var(ddof=1) / len(yardstick))
    between = abs(calm[0].mean() - calm[1].mean())
    means = ", ".join(f"{each.mean():.2f}" for each in calm)
    print(f"reward: {in_chaos.mean():.2f} in chaos; {means} undisturbed; tolerance {3 * spread + between:.2f}")
    assert abs(in_chaos.mean() - yardstick.mean()) < 3 * spread + between

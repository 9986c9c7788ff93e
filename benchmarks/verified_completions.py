"""What the compiler adds: `python -m benchmarks.verified_completions --model FILE.gguf --tasks RUN/data/tasks.jsonl`.

The same held-out tasks are put to a server, one request at a time and in turns: plain, greedy, and verified by eight
candidates at the levels `check` and `test`. The server is `ferrotype serve --verify`, started here. What comes back is
judged by a farm of our own, whatever the server said of it.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from reward_farm.document import write_problem
from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored
from services.environment import prepare
from trainer.evaluation.statistics import wilson_interval
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split, Task

STARTS_SECONDS = 120.0
CANDIDATES = 8
WIDE = 120
"""Columns where the output is no terminal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as the client got it, and what our own farm says of it."""

    arm: str
    task: str
    status: str | None
    """What the server said: verified, failed or unverified; None where it was not asked."""
    seconds: float
    compiles: bool
    passes: bool


def bodies(task: Task, seed: int) -> dict[str, dict[str, Any]]:
    """A request of each arm."""
    plain = {"prompt": task.prompt, "max_tokens": 96, "temperature": 0.8, "seed": seed}
    check = {"candidates": CANDIDATES, "level": "check", "entry": task.problem.entry}
    test = {"candidates": CANDIDATES, "level": "test", "problem": write_problem(task.problem)}
    return {
        "greedy": plain | {"temperature": 0},
        "plain (pass@1)": plain,
        f"verified@{CANDIDATES}, check": plain | {"verify": check},
        f"verified@{CANDIDATES}, test": plain | {"verify": test},
    }


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The URL of a server for this model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "services", "serve", "--model", str(model), "--port", str(port), "--verify",
               "--slots", str(CANDIDATES), "--no-playground"]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if "Serving" not in line:
            raise SystemExit(f"the server did not start; run it by hand to see why: {' '.join(command)}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def measure(model: Path, tasks: list[Task]) -> list[Answer]:
    """All answers."""
    answers = []
    with serving(model) as url, httpx.Client(timeout=120) as client, Judge(FarmSettings()) as judge:
        for warm_up in bodies(tasks[0], 0).values():
            client.post(f"{url}/v1/completions", json=warm_up).raise_for_status()
        for number, task in enumerate(tasks):
            arms = list(bodies(task, number).items())
            # Each arm is the first as often as any other.
            for arm, body in arms[number % len(arms) :] + arms[: number % len(arms)]:
                begun = time.perf_counter()
                answer = client.post(f"{url}/v1/completions", json=body).raise_for_status().json()
                seconds = time.perf_counter() - begun
                (verdict,) = judge.judge([Submission("a", task.source(answer["choices"][0]["text"]), task.problem)])
                assert isinstance(verdict, Scored), verdict
                status = answer.get("verification", {}).get("status")
                answers.append(Answer(arm, task.id, status, seconds, verdict.compiled, verdict.passed))
            print(f"\r{number + 1}/{len(tasks)} tasks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return answers


def report(answers: list[Answer]) -> Table:
    """A row an arm."""
    table = Table("answers", "compile", "pass all tests", "seconds p50", "p95", "said verified", "of those, compile")
    for arm in dict.fromkeys(answer.arm for answer in answers):
        mine = [answer for answer in answers if answer.arm == arm]
        taken = sorted(answer.seconds for answer in mine)
        said = [answer for answer in mine if answer.status == "verified"]
        table.add_row(
            arm,
            _rate([answer.compiles for answer in mine]),
            _rate([answer.passes for answer in mine]),
            f"{statistics.median(taken):.2f}",
            f"{taken[int(0.95 * len(taken))]:.2f}",
            f"{len(said)}/{len(mine)}" if any(answer.status for answer in mine) else "",
            f"{sum(answer.compiles for answer in said)}/{len(said)}" if said else "",
        )
    return table


def _rate(held: list[bool]) -> str:
    interval = wilson_interval(sum(held), len(held))
    return f"{sum(held) / len(held):.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True, help="a bank, whose held-out tasks are asked")
    parser.add_argument("--count", type=int, default=48, help="of each held-out split")
    parser.add_argument("--json", type=Path, help="write every answer's figures there, too")
    options = parser.parse_args()
    prepare()
    bank = TaskBank.load(options.tasks)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    found: dict[str, list[Answer]] = {}
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES):
        found[split.value] = measure(options.model, list(bank.sample(split, options.count)))
        table = report(found[split.value])
        table.title = split.value
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps({name: list(map(asdict, each)) for name, each in found.items()}, indent=1))


if __name__ == "__main__":
    main()

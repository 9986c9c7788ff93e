"""`ferrotype eval`: stored answers, mistakes, the gate; and SIGKILL to a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli import app
from services.errors import explain
from trainer.evaluation.evaluation import load_evaluation
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.task import Split, Task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bank_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = build_bank(0, train_per_family=1, unseen_tasks_per_family=1, unseen_family_tasks=2)
    tasks = tuple(task for task in whole.all if task.split is Split.UNSEEN_FAMILIES)[:8]
    path = tmp_path_factory.mktemp("bank") / "bank.jsonl"
    TaskBank(tasks, 0).save(path)
    return path


@pytest.fixture(scope="module")
def tasks(bank_file: Path) -> list[Task]:
    return list(TaskBank.load(bank_file).all)


def answers(path: Path, tasks: list[Task], texts: Callable[[Task], list[str]]) -> Path:
    path.write_text(
        "".join(json.dumps({"task": task.id, "completion": text}) + "\n" for task in tasks for text in texts(task))
    )
    return path


@pytest.fixture
def ferrotype(bank_file: Path, tmp_path: Path) -> Callable[..., Result]:
    """In this process: what is imported once need not be imported for each mistake."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, command(bank_file, tmp_path, *arguments)[3:])

    return run


def command(bank: Path, folder: Path, *arguments: str) -> list[str]:
    at = ("--tasks", str(bank), "--out", str(folder / "out"), "--set", f'farm.cache_dir="{folder / "cache"}"')
    return [sys.executable, "-m", "services", "eval", *arguments, *at]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "TMPDIR": str(folder)}


def refused(done: Result) -> str:
    """The message; an error without one would be a fault in the program."""
    assert done.exception is not None and done.exit_code == 1
    message = explain(done.exception)
    assert message is not None, done.exception
    return message


def test_stored_answers_are_judged_and_the_gate_speaks(ferrotype, tasks, tmp_path: Path):
    helped = "\n\nfn main() {\n    println!(\"{}\", 1);\n}\n"  # fmt: skip
    path = answers(tmp_path / "theirs.jsonl", tasks, lambda task: [task.reference + helped, "\n    todo!()\n}\n"])
    criteria = tmp_path / "criteria.toml"
    criteria.write_text('[[criterion]]\ntitle = "Solves half"\nfigure = "pass@1"\nat_least = 0.5\n')
    done = ferrotype("--samples", str(path), "--gate", str(criteria), "--k", "1,2")
    assert done.exit_code == 0, done.output
    evaluation, samples = load_evaluation(tmp_path / "out" / "theirs.json")
    assert len(samples) == 2 * len(tasks) and {sample.extraction.value for sample in samples} == {"strict"}
    figures = evaluation.overall
    assert (figures["pass@1"].value, figures["pass@2"].value, figures["compile@1"].value) == (0.5, 1.0, 1.0)
    assert figures["lenient_pass@2"].value == 1.0 and figures["verified@2"].value == 0.5
    assert evaluation.identity["benchmark"] == evaluation.benchmark_sha256
    criteria.write_text('[[criterion]]\ntitle = "Solves all"\nfigure = "pass@1"\nabove = 0.5\n')
    again = ferrotype("--samples", str(path), "--gate", str(criteria), "--k", "1,2")
    assert again.exit_code == 1 and "NOT MET Solves all" in again.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of --checkpoint"),
        (("--gguf", "a", "--endpoint", "b"), "--gguf and --endpoint"),
        (("--gguf", "/nowhere/model.gguf"), "does not exist"),
        (("--endpoint", "http://127.0.0.1:9"), "Is the server up?"),
        (("--checkpoint", "/"), "is no checkpoint"),
        (("--samples", "/nowhere.jsonl"), "can't be read"),
        (("--gguf", "a", "--k", "1,99"), "--samples-per-task 99"),
        (("--gguf", "a", "--split", "test"), "the bank has unseen_families (8)"),
        (("--gguf", "a", "--gate", "pyproject.toml"), "pyproject.toml"),
    ],
)
def test_a_mistake_gets_one_clear_message(ferrotype, arguments: tuple[str, ...], said: str):
    assert said in refused(ferrotype(*arguments))


def test_lines_of_samples_that_are_none_are_named(ferrotype, tasks, tmp_path: Path):
    path = answers(tmp_path / "s.jsonl", tasks[:1], lambda _: ["}"])
    path.write_text(path.read_text() + '{"task": "x"}\n')
    assert f"{path}:2: no sample" in refused(ferrotype("--samples", str(path)))
    path.write_text('{"task": "x", "completion": "}"}\n')
    assert "none is of a task that is asked" in refused(ferrotype("--samples", str(path)))


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.nightly)])
def test_killed_and_run_again_no_sample_is_lost_or_judged_twice(
    ferrotype, bank_file, tasks, tmp_path: Path, kills: int
):
    slow = "\n    let mut n = 0u64;\n    while n < 50_000_000 {{ n += 1; if n == {} {{ continue; }} }}\n    todo!()\n}}"
    path = answers(tmp_path / "s.jsonl", tasks, lambda _: [slow.format(number) for number in range(4 * kills + 4)])
    arguments = command(bank_file, tmp_path, "--samples", str(path), "--no-cache", "--workers", "1")
    arguments += ["--set", "farm.max_batch=4"]
    journal = tmp_path / "out" / "s.jsonl"
    kept: list[bytes] = []
    for _ in range(kills):
        process = subprocess.Popen(arguments, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.DEVNULL)
        deadline, before = time.monotonic() + 60, len(kept)
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > before + 1:
                break
            time.sleep(0.02)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        lines = journal.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n")]
    assert len(kept) < (4 * kills + 4) * len(tasks)
    done = ferrotype("--samples", str(path), "--no-cache", "--set", "farm.max_batch=4")
    assert done.exit_code == 0, done.output
    final = [json.loads(line) for line in journal.read_bytes().splitlines()]
    assert len(final) == (4 * kills + 4) * len(tasks)
    assert max(Counter(line["key"] for line in final).values()) == 1
    # What was judged before is there as it was, timings and all: it was not judged again.
    by_key = {line["key"]: line for line in final}
    assert all(by_key[record["key"]] == record for record in map(json.loads, kept))

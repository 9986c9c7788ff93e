"""What an operator types, in real processes: one message and a non-zero exit for every mistake, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.config import resolve
from services.doctor import Check, Health, examine, require
from services.errors import MachineError, explain
from services.run_folder import Finished, RunFolder

ROOT = Path(__file__).parents[2]


def ferrotype(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that must have failed with just a message."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_help_names_every_command() -> None:
    text = ferrotype("--help").stdout
    for command in ("run", "doctor", "eval", "export", "generate", "serve", "tasks", "report", "trace"):
        assert f" {command} " in text


def test_a_rehearsal_shows_where_each_value_comes_from_and_writes_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ("run", "--preset", "ci", "--run-dir", str(run), "--set", "grpo.iterations=3", "--dry-run")
    done = ferrotype(*command, BATCH_SIZE="4")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("│")}
    assert "--set grpo.iterations=3" in lines["grpo.iterations"]
    assert "environment variable BATCH_SIZE=4" in lines["pretrain.batch_size"]
    assert "preset ci" in lines["grpo.group_size"] and "default" in lines["grpo.loss"]
    assert "3 iterations of 4 tasks x 4 completions" in done.stdout
    assert "ready" in done.stdout and not run.exists()
    assert "not ready" in ferrotype(*command, "--set", "rollout.gpus_per_replica=1").stdout


def test_a_run_without_a_trace_says_so(tmp_path: Path) -> None:
    assert "has no trace" in refused(ferrotype("trace", str(tmp_path)))
    assert "one of sampled, worst, best" in ferrotype("trace", str(tmp_path), "--order", "odd").stderr


def test_mistakes_in_the_configuration(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    file = tmp_path / "mine.toml"
    file.write_text("[pretrain]\nbatch_sze = 2\n")
    message = refused(ferrotype("run", "--preset", "ci", "--run-dir", run, "--config", str(file)))
    assert f"{file}: unknown key pretrain.batch_sze; did you mean pretrain.batch_size?" in message
    assert "BATCH_SIZE=abc" in refused(ferrotype("run", "--preset", "ci", "--run-dir", run, BATCH_SIZE="abc"))
    assert "no preset 'cii'" in refused(ferrotype("run", "--preset", "cii"))
    assert not Path(run).exists(), "a refused run must leave nothing"


def test_a_changed_configuration_and_a_held_folder_are_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.adopt(resolve("ci"))
    run.finish(Finished("corpus", 1.0, 2.0, 1024, {}))
    message = refused(ferrotype("run", "--preset", "ci", "--run-dir", str(run.root), "--set", "grpo.group_size=6"))
    assert "grpo.group_size: 4 in the run, 6 now" in message
    with run.held():
        message = refused(ferrotype("run", "--preset", "ci", "--run-dir", str(run.root)))
    assert f"held by process {os.getpid()}" in message


@pytest.mark.parametrize("variable", ["FARM_RUSTC", "NO_BWRAP"])
def test_a_machine_without_rustc_or_bubblewrap_is_refused_before_the_first_phase(variable: str, tmp_path: Path) -> None:
    arguments = ["run", "--preset", "ci", "--run-dir", str(tmp_path / "run")]
    if variable == "FARM_RUSTC":
        message = refused(ferrotype(*arguments, "--set", "farm.rustc=/nowhere/rustc"))
        assert "/nowhere/rustc" in message
    else:
        tools = tmp_path / "bin"
        tools.mkdir()
        for tool in ("rustup", "rustc", "ldd", "cc", "ld", "cargo", "env"):
            if found := _which(tool):
                (tools / tool).symlink_to(found)
        message = refused(ferrotype(*arguments, PATH=str(tools)))
        assert "bwrap" in message or "bubblewrap" in message
    assert "can't run the pipeline yet" in message
    assert not (tmp_path / "run" / "state").exists()


def test_a_run_stops_where_there_is_no_rust(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("nothing to see")
    done = ferrotype(
        "run", "--preset", "ci", "--run-dir", str(tmp_path / "run"),
        "--set", "corpus.packages=[]", "--set", f'corpus.folders=["{empty}"]',
    )  # fmt: skip
    message = refused(done)
    assert str(empty) in message
    assert "phase corpus" in message
    assert "PHASE 1/7 corpus: started" in done.stdout
    assert not (tmp_path / "run" / "data" / "rust_tokens.bin").exists()


def test_files_that_are_no_checkpoint_or_model_are_refused(tmp_path: Path) -> None:
    assert "no run's folder" in refused(ferrotype("eval", "--checkpoint", str(tmp_path)))
    assert "no run's folder" in refused(ferrotype("generate", "--checkpoint", str(tmp_path), "--prompt", "fn a() {"))
    broken = tmp_path / "step_1"
    broken.mkdir()
    message = refused(ferrotype("export", "--checkpoint", str(broken), "--output", str(tmp_path / "m.gguf")))
    assert str(broken) in message
    assert "none.gguf" in refused(ferrotype("serve", "--model", str(tmp_path / "none.gguf")))
    assert not (tmp_path / "m.gguf").exists()


def test_doctor_shows_each_check_and_fails_for_a_gpu_that_is_not_there() -> None:
    done = ferrotype("doctor", "--preset", "ci")
    for name in ("python", "packages", "rustc", "sandbox", "processor", "memory", "disk", "gpu"):
        assert f" {name} " in done.stdout
    assert done.returncode == 0, done.stdout
    if not Path("/dev/nvidiactl").exists():
        done = ferrotype("doctor", "--preset", "ci", DEVICE="cuda:0")
        assert done.returncode == 1
        assert "uses one (pretrain.device)" in done.stdout


def test_what_is_missing_is_listed_with_its_remedy(tmp_path: Path) -> None:
    checks = [*examine(resolve("ci"), tmp_path), Check("moon", Health.MISSING, "not full", "Wait a week.")]
    with pytest.raises(MachineError, match=r"moon: not full. Wait a week."):
        require(checks)


def test_a_full_disk_is_said_in_one_line() -> None:
    with pytest.raises(OSError, match="No space") as caught, Path("/dev/full").open("w") as file:
        file.write("x" * 100_000)
    assert "the disk is full" in str(explain(caught.value))
    assert explain(KeyError("a bug of ours")) is None


def test_a_finished_run_is_not_done_again_and_says_what_it_made(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.adopt(resolve("ci"))
    for phase, summary in {
        "corpus": {}, "base": {"checkpoint": "b/step_4"}, "supervised": {"checkpoint": "s/step_24"},
        "rl": {"checkpoint": "r/rl-iter-2"}, "evaluation": {"rl_compile_rate": 0.5},
        "export": {"model": "m.gguf"}, "report": {"page": "index.html"},
    }.items():  # fmt: skip
        run.finish(Finished(phase, 1.0, 2.0, 1024, summary))
    done = ferrotype("run", "--run-dir", str(run.root))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("already done") == 7
    assert f"ferrotype serve --model {run.root}/m.gguf --port 8080" in done.stdout
    body = done.stdout[done.stdout.index("-d '") + 4 :].split("'")[0]
    assert json.loads(body)["max_tokens"] == 256
    logs = list(run.logs.glob("production_training_*.log"))
    assert len(logs) == 1
    assert "PHASE 7/7 report: already done" in logs[0].read_text()


def _which(tool: str) -> str | None:
    import shutil

    return shutil.which(tool)

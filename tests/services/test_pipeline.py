"""The supervisor with real processes: order, resume after SIGKILL anywhere, restarts, errors, one holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.console import Operator
from services.errors import Interrupted, PhaseError, RunFolderError
from services.metrics_log import MetricsLog, read_metrics
from services.pipeline import Phase, run_phases
from services.run_folder import Finished, RunFolder

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}


def count(run: RunFolder, steps: int = 8, **how: str) -> dict[str, Finished]:
    """Run the phases named in `how`, each going the way it says."""
    phases = tuple(Phase(name, "counting", alone=False) for name in how)
    program = str(HERE / "counting_phase.py")
    operator = Operator(run.logs / "production_training_test.log")
    with run.held():
        try:
            return run_phases(
                run,
                operator,
                phases,
                lambda phase, run: [sys.executable, program, phase.name, str(run.root), str(steps), how[phase.name]],
            )
        finally:
            operator.close()


def test_phases_run_once_each_in_order_and_leave_greppable_lines(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    results = count(run, one="plain", two="plain")
    assert [(r.phase, r.summary["count"]) for r in results.values()] == [("one", 8), ("two", 8)]
    assert results["one"].peak_memory_mb > 0
    again = count(run, one="plain", two="plain")
    assert again == results
    assert (run.root / "one.starts").read_text() == "x"
    log = (run.logs / "production_training_test.log").read_text()
    assert "PHASE 1/2 one: started" in log
    assert "PHASE 2/2 two: already done" in log
    assert "one 8/8 loss=1.25" in log
    assert "one prints this" in log
    rows = list(read_metrics(run.metrics_file))
    assert [(r["phase"], r["step"]) for r in rows] == [(p, s) for p in ("one", "two") for s in range(1, 9)]


def test_a_phase_whose_checkpoint_was_removed_goes_on_to_it_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(PhaseError):
        count(run, one="plain", two="error")
    (run.root / "one.count").unlink()
    count(run, one="plain", two="plain")
    assert _number(run.root / "one.count") == 8
    assert (run.root / "one.starts").read_text() == "xx"
    (run.root / "one.count").unlink()
    count(run, one="plain", two="plain")
    assert not (run.root / "one.count").exists(), "a run that has ended needs it no more"


def test_a_killed_phase_goes_on_in_a_new_process_as_long_as_it_gets_further(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert count(run, one="once")["one"].summary["count"] == 8
    assert (run.root / "one.starts").read_text() == "xx"
    stuck = RunFolder(tmp_path / "stuck")
    with pytest.raises(PhaseError, match="one ended unexpectedly: killed by SIGKILL, as the kernel does when memory"):
        count(stuck, one="stuck")
    assert (stuck.root / "one.starts").read_text() == "xx"


def test_an_error_of_a_phase_is_its_message_and_a_crash_points_to_the_log(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(PhaseError, match=r"the moon is in the wrong place. Wait a week.\n\(phase two; log: "):
        count(run, one="plain", two="error")
    assert run.finished("one") is not None
    assert run.finished("two") is None
    with pytest.raises(PhaseError, match="two ended unexpectedly: exit code 1"):
        count(crash := RunFolder(tmp_path / "crash"), two="crash")
    assert "RuntimeError: a bug" in (crash.logs / "production_training_test.log").read_text()
    assert count(run, one="plain", two="plain")["two"].summary["count"] == 8
    assert (run.root / "one.starts").read_text() == "x"


@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.4])
def test_sigkill_anywhere_and_the_same_command_finishes_with_nothing_redone(seconds: float, tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "counting_run.py"), str(tmp_path / "run"), "40"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(seconds)
    process.kill()
    process.wait()
    run = RunFolder(tmp_path / "run")
    finished = [name for name in ("one", "two", "three") if run.finished(name)]
    assert len(finished) < 3
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout
    for name in ("one", "two", "three"):
        result = run.finished(name)
        assert result is not None
        assert result.summary["count"] == 40
        assert len((run.root / f"{name}.starts").read_text()) <= (1 if name in finished else 2)
    assert len(list(read_metrics(run.metrics_file))) >= 120 - 1  # the step in flight may have lost its row


def test_sigterm_ends_the_phase_first(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    counter = run.root / "one.count"
    handler = signal.getsignal(signal.SIGTERM)

    def stop_once_it_counts() -> None:
        while not counter.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_once_it_counts, daemon=True).start()
    with pytest.raises(Interrupted, match="goes on from the last checkpoint"):
        count(run, steps=100_000, one="plain")
    before = _number(counter)
    time.sleep(0.2)
    assert _number(counter) == before > 0
    assert signal.getsignal(signal.SIGTERM) == handler


def test_asked_to_stop_a_phase_finishes_its_step_and_the_operator_is_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")

    def stop_once_it_counts() -> None:
        while not (run.root / "one.count").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_once_it_counts, daemon=True).start()
    with pytest.raises(Interrupted):
        count(run, steps=100_000, one="steps")
    assert _number(run.root / "one.saved") == _number(run.root / "one.count")
    assert "Ctrl-C again stops at once" in (run.logs / "production_training_test.log").read_text()


def test_figures_are_on_a_board_and_warnings_are_said(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    count(run, one="plain")
    (events,) = run.tensorboard.glob("events.out.tfevents.*")
    assert b"one/loss" in events.read_bytes()
    assert all("memory_mb" in row for row in read_metrics(run.metrics_file))


def test_a_folder_has_one_holder_and_the_second_is_told_who(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    held = pytest.raises(RunFolderError, match=f"held by process {os.getpid()}")
    with run.held(), held, RunFolder(run.root).held():
        pass
    with run.held():
        pass


def test_a_corrupt_state_file_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.finish(Finished("one", 1.0, 2.0, 3, {}))
    (tmp_path / "state" / "one.json").write_text('{"phase": "o')
    with pytest.raises(RunFolderError, match=r"one.json is corrupt .* Remove it"):
        run.finished("one")


def test_metrics_survive_a_cut_line_and_keep_the_last_row_of_a_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.write("rl", 1, {"reward": 1.0})
    log.write("rl", 2, {"reward": float("nan")})
    log.close()
    path.write_bytes(path.read_bytes() + b'{"phase": "rl", "st')
    log = MetricsLog(path)
    log.write("rl", 1, {"reward": 3.0})
    log.close()
    rows = [(row["step"], row["reward"]) for row in read_metrics(path)]
    assert rows == [(1, 3.0), (2, None)]


def _number(path: Path) -> int:
    return int(path.read_text()) if path.exists() else 0

"""What the pool decides without Ray: who waits, who is one job, what is remembered, when the breaker opens."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reward_farm.circuit import SMALLEST_SAMPLE, WINDOW, CircuitBreaker
from reward_farm.errors import FarmClosed, IdConflict, Overloaded
from reward_farm.health import canaries, complaint
from reward_farm.intake import Intake, Job
from reward_farm.judge import Judge
from reward_farm.problem import Problem, Submission
from reward_farm.scratch import Scratch, sweep
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Verdict

PROBLEM = Problem("f", (), "()")


def group(*names: str, text: str = "fn f() {}") -> list[Submission]:
    return [Submission(name, f"{text} // {name}", PROBLEM) for name in names]


def scored(name: str, outcome: Outcome = Outcome.PASSED) -> Scored:
    return Scored(name, outcome, RewardBreakdown())


def names(jobs: list[Job]) -> list[str]:
    return [job.submission.id for job in jobs]


def in_loop(test: Callable[[], None]) -> None:
    """Futures need a loop; nothing here waits."""

    async def run() -> None:
        test()

    asyncio.run(run())


def test_groups_are_taken_whole_and_retries_alone() -> None:
    def test() -> None:
        intake = Intake(100, 100)
        intake.admit(group("a1", "a2", "a3"), 0.0)
        intake.admit(group("b1", "b2"), 0.0)
        intake.admit(group("c1"), 0.0)
        first = intake.take(4, 0, 0.0)
        assert names(first) == ["a1", "a2", "a3"], "b does not fit whole"
        intake.again(first[0])
        assert names(intake.take(4, 0, 0.0)) == ["b1", "b2", "c1"], "what was tried before waits for its own turn"
        intake.admit(group("d1"), 0.0)
        assert names(intake.take(4, 0, 0.0)) == ["a1"]
        assert (names(intake.take(4, 0, 0.0)), intake.waiting, intake.arrived.is_set()) == (["d1"], 0, False)
        intake.admit(group(*(f"e{n}" for n in range(6))), 0.0)
        assert [len(intake.take(4, 0, 0.0)), len(intake.take(4, 0, 0.0))] == [4, 2], (
            "a group larger than a batch is split"
        )

    in_loop(test)


def test_a_retry_is_left_to_other_workers_for_a_while() -> None:
    def test() -> None:
        intake = Intake(100, 100)
        [failed] = intake.admit(group("a"), 0.0)
        intake.take(4, 0, 0.0)
        intake.again(failed, barred=0, until=5.0)
        assert intake.take(4, 0, 1.0) == [] and intake.waiting == 1 and intake.arrived.is_set()
        intake.admit(group("b"), 1.0)
        assert names(intake.take(4, 0, 2.0)) == ["b"], "meanwhile it takes what comes after"
        assert names(intake.take(4, 1, 2.0)) == ["a"]
        intake.again(failed, barred=1, until=5.0)
        assert names(intake.take(4, 1, 5.0)) == ["a"], "nobody else came"
        assert not intake.arrived.is_set()

    in_loop(test)


def test_a_group_is_admitted_whole_or_not_at_all() -> None:
    def test() -> None:
        intake = Intake(4, 100)
        intake.admit(group("a", "b"), 0.0)
        with pytest.raises(Overloaded, match="2 submissions wait already"):
            intake.admit(group("c", "d", "e"), 0.0)
        assert intake.waiting == 2
        intake.admit(group("a", "c", "d"), 0.0)  # a is known, so only two are new
        assert intake.waiting == 4

    in_loop(test)


def test_an_id_is_one_job_and_one_text() -> None:
    def test() -> None:
        intake = Intake(100, 2)
        [one, two] = intake.admit(group("a", "a"), 0.0)
        [again] = intake.admit(group("a"), 1.0)
        assert one is two is again
        with pytest.raises(IdConflict, match="'a' was submitted before"):
            intake.admit(group("a", text="fn g() {}"), 0.0)
        assert names(intake.take(16, 0, 0.0)) == ["a"]
        intake.settle(one, scored("a"))
        [known] = intake.admit(group("a"), 2.0)
        assert known.verdict.result() is one.verdict.result()
        assert intake.waiting == 0
        with pytest.raises(IdConflict):
            intake.admit(group("a", text="fn g() {}"), 0.0)
        for name in ("b", "c"):
            [job] = intake.admit(group(name), 0.0)
            intake.settle(job, scored(name))
        assert not intake.admit(group("a", text="fn g() {}"), 0.0)[0].verdict.done(), "a is forgotten by now"

    in_loop(test)


def test_faults_and_what_is_suspect_are_not_remembered() -> None:
    def test() -> None:
        intake = Intake(100, 100)
        for name, verdict in (("a", InfraFault("a", "disk full")), ("b", scored("b"))):
            [job] = intake.admit(group(name), 0.0)
            intake.take(1, 0, 0.0)
            intake.settle(job, verdict)
        intake.forget(["b", "never seen"])
        assert [job.verdict.done() for job in intake.admit(group("a", "b"), 0.0)] == [False, False]

    in_loop(test)


def test_what_nobody_waits_for_leaves_the_queue_and_the_memory() -> None:
    def test() -> None:
        intake = Intake(10, 100)
        for number in range(50):
            jobs = intake.admit(group(*(f"{number}-{place}" for place in range(10))), 0.0)
            for job in jobs:
                intake.abandon(job)
            assert intake.waiting == 0
        assert sum(map(len, intake._groups)) <= 20
        [live] = intake.admit(group("live"), 0.0)
        assert intake.take(16, 0, 0.0) == [live]
        [left] = intake.admit(group("left"), 0.0)
        intake.fail_waiting(FarmClosed("closed"))
        assert isinstance(left.verdict.exception(), FarmClosed)
        assert (intake.waiting, intake._pending) == (0, {"live": live})

    in_loop(test)


def test_the_breaker_opens_on_a_share_of_faults_and_closes_on_a_verdict() -> None:
    breaker = CircuitBreaker(max_share=0.5, pause_seconds=10)
    for number in range(SMALLEST_SAMPLE - 1):
        assert not breaker.record(None if number % 2 else "disk full", 0.0)
    assert not breaker.record(None, 0.0)
    assert breaker.record("disk full", 1.0) and breaker.is_open
    assert breaker.reasons == "9 of the last 17 verdicts were faults of the farm (9 times: disk full)"
    assert breaker.wait(5.0) == 6.0
    assert (breaker.wait(11.0), breaker.wait(11.0)) == (0.0, 10.0), "one trial at a time"
    assert not breaker.record("disk full", 12.0), "it was open already"
    assert breaker.wait(21.0) == 1.0
    assert breaker.wait(22.0) == 0.0
    breaker.record(None, 23.0)
    assert not breaker.is_open and breaker.wait(23.0) == 0.0


def test_old_faults_are_forgotten() -> None:
    breaker = CircuitBreaker(max_share=0.5, pause_seconds=10)
    for fault in [*["x"] * 8, *[None] * WINDOW, *["x"] * (WINDOW // 2)]:
        assert not breaker.record(fault, 0.0)
    assert breaker.record("x", 0.0)


def test_canaries_are_new_each_time_and_only_their_own_outcomes_satisfy() -> None:
    one, two = canaries(), canaries()
    assert not {submission.source for submission in one} & {submission.source for submission in two}
    good: list[Verdict] = [
        scored(submission.id, outcome)
        for submission, outcome in zip(one, (Outcome.PASSED, Outcome.TEST_FAILED, Outcome.REJECTED), strict=True)
    ]
    assert complaint(good) is None
    assert complaint([good[0], scored(one[1].id), good[2]]) == "the liar canary was judged passed, and is test_failed"
    assert complaint([InfraFault(one[0].id, "disk full"), *good[1:]]) is None, "a fault is no lie"


def test_a_dead_workers_folder_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    (living.path / "batch").mkdir()
    dead = Scratch(tmp_path)
    os.close(dead._lock)  # as the kernel does for a killed process
    (tmp_path / "ferrotype-judge-elsewhere").symlink_to("/usr")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()) == [
        living.path.name
    ]
    assert (living.path / "batch").is_dir() and Path("/usr/bin").is_dir()
    with pytest.raises(BlockingIOError), (living.path / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    shutil.rmtree(living.path)  # as one who tidies /tmp does
    living.hold()
    sweep(tmp_path)
    assert living.path.is_dir()
    living.close()
    living.close()
    assert not living.path.exists()


def test_what_a_killed_judge_had_on_disk_goes_with_the_next_one(settings: FarmSettings, tmp_path: Path) -> None:
    ours = settings.model_copy(update={"scratch_dir": tmp_path})
    text = ours.model_dump_json()
    program = (
        "import os\nfrom reward_farm.judge import Judge\nfrom reward_farm.settings import FarmSettings\n"
        f"judge = Judge(FarmSettings.model_validate_json({text!r}))\n"
        "judge._sandbox.new_workspace()\nos.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == -9
    assert len(list(tmp_path.glob("*/batch-*"))) == 1
    with Judge(ours) as judge:
        assert list(tmp_path.iterdir()) == [judge.scratch]
    assert not list(tmp_path.iterdir())

"""Verdicts per second of the reward farm on one core, beside what others do: `python -m benchmarks.reward_farm`.

Each round gives fresh candidates, half of them bad, to the farm and some of the same to the yardstick, in turn; both
are pinned to one core, and only ratios of the same round are compared. Prints a table and can write JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.candidates import Candidate, mixed
from benchmarks.literal import assertion
from reward_farm.judge import Judge
from reward_farm.problem import Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import find_toolchain
from reward_farm.verdict import Outcome, Scored

CASES = 5
LONGEST = 20.0
"""Seconds that a yardstick may take on one candidate."""
CARGO = (["build"], ["test", "--lib"], ["clippy"])
"""Published Rust RL projects reward each of the three, so they run all for every completion."""
Yardstick = Callable[[Candidate, Path], bool]
"""Judges one candidate in an empty folder: whether it is good."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What is compared, and what was promised of it."""

    name: str
    yardstick: str
    judge_one: Yardstick
    settings: FarmSettings
    runs: bool
    goal_ratio: float
    goal_rate: float
    yard: int
    """Candidates a round for the yardstick, which is slower."""


@dataclass(slots=True)
class Round:
    """Seconds a candidate, and where the farm's went."""

    farm: float
    yardstick: float
    agree: float
    parts: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Runs every contest and prints what was measured."""
    options = _options()
    core = max(os.sched_getaffinity(0)) if options.core is None else options.core
    os.sched_setaffinity(0, {core})
    contests = [contest for contest in _contests(options) if options.only in contest.name]
    pool = half_bad(mixed(options.seed))
    load = os.getloadavg()[0]
    results = {contest.name: _measure(contest, pool, options) for contest in contests}
    report = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "core": core, "kernel": platform.release()},
        "rustc": find_toolchain(FarmSettings()).version,
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "rounds": options.rounds,
        "group": options.group,
        "contests": {contest.name: _summary(contest, results[contest.name]) for contest in contests},
    }
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--group", type=int, default=96, help="candidates a round for the farm")
    parser.add_argument("--yard", type=int, default=16, help="of them, for rustc one by one")
    parser.add_argument("--cargo", type=int, default=4, help="of them, for cargo one by one")
    parser.add_argument("--batch", type=int, default=FarmSettings().max_batch)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--core", type=int, help="the core to use; the last one, if none is given")
    parser.add_argument("--only", default="", help="contests whose name holds this")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def _contests(options: argparse.Namespace) -> list[Contest]:
    settings = FarmSettings(cache_size=0, max_batch=options.batch)
    linted = settings.model_copy(update={"clippy": True})
    rustc = str(find_toolchain(settings).rustc)

    def check(candidate: Candidate, folder: Path) -> bool:
        (folder / "lib.rs").write_text(candidate.source)
        return _succeeds([rustc, "--edition=2021", "--crate-type=lib", "--emit=metadata", "lib.rs"], folder)

    def test(candidate: Candidate, folder: Path) -> bool:
        (folder / "lib.rs").write_text(_with_tests(candidate))
        return _succeeds([rustc, "--edition=2021", "--test", "lib.rs"], folder) and _succeeds(["./lib"], folder)

    def cargo_until_one_fails(candidate: Candidate, folder: Path) -> bool:
        write_package(candidate, folder)
        return all(_cargo(command, folder) for command in CARGO)

    def cargo(candidate: Candidate, folder: Path) -> bool:
        write_package(candidate, folder)
        succeeded = [_cargo(command, folder) for command in CARGO]
        return all(succeeded)

    return [
        Contest("type-check", "rustc --emit=metadata", check, settings, False, 4.0, 100.0, options.yard),
        Contest("compile and 5 tests", "rustc --test", test, settings, True, 4.0, 25.0, options.yard),
        Contest("with lints", "cargo build, test, clippy", cargo, linted, True, 25.0, 0.0, options.cargo),
        Contest(
            "with lints, again",
            "cargo build && test && clippy",
            cargo_until_one_fails,
            linted,
            True,
            25.0,
            0.0,
            options.cargo,
        ),
    ]


def _cargo(command: Sequence[str], folder: Path) -> bool:
    return _succeeds(["cargo", *command, "--offline", "--quiet"], folder)


def write_package(candidate: Candidate, folder: Path) -> None:
    """A package with the candidate and its cases as tests."""
    (folder / "src").mkdir()
    (folder / "src" / "lib.rs").write_text(_with_tests(candidate))
    (folder / "Cargo.toml").write_text('[package]\nname = "candidate"\nversion = "0.1.0"\nedition = "2021"\n')


def _with_tests(candidate: Candidate) -> str:
    tests = "".join(
        f"    #[test]\n    fn case_{number}() {{ {assertion(candidate.problem, case)} }}\n"
        for number, case in enumerate(candidate.problem.cases)
    )
    return f"{candidate.source}\n#[cfg(test)]\nmod hidden_tests {{\n    use super::*;\n{tests}}}\n"


def _succeeds(command: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def half_bad(candidates: Iterator[Candidate]) -> Iterator[tuple[Candidate, Outcome]]:
    """Good and bad in turn, each with what it is; none that only a clock ends, for the clocks differ."""
    waiting: dict[bool, list[tuple[Candidate, Outcome]]] = {True: [], False: []}
    with Judge(FarmSettings(cache_size=0)) as judge:
        while True:
            while not all(waiting.values()):
                drawn = [candidate for candidate, _ in zip(candidates, range(64), strict=False)]
                drawn = [candidate for candidate in drawn if len(candidate.problem.cases) == CASES]
                verdicts = judge.judge([Submission("", each.source, each.problem) for each in drawn])
                for candidate, verdict in zip(drawn, verdicts, strict=True):
                    if isinstance(verdict, Scored) and verdict.outcome is not Outcome.TEST_TIMEOUT:
                        waiting[verdict.passed].append((candidate, verdict.outcome))
            yield waiting[True].pop(0)
            yield waiting[False].pop(0)


def _measure(contest: Contest, pool: Iterator[tuple[Candidate, Outcome]], options: argparse.Namespace) -> list[Round]:
    rounds = []
    with Judge(contest.settings) as judge:
        for number in range(options.rounds + 1):
            group = [next(pool) for _ in range(options.group)]
            few = group[: contest.yard]
            if number % 2:
                farm, verdicts = _farm(judge, contest, group)
                yardstick, good = _yardstick(contest, [candidate for candidate, _ in few])
            else:
                yardstick, good = _yardstick(contest, [candidate for candidate, _ in few])
                farm, verdicts = _farm(judge, contest, group)
            agree = sum(verdict.passed == one for verdict, one in zip(verdicts, good, strict=False)) / len(few)
            parts = {
                part: statistics.mean(getattr(verdict.timings, f"{part}_ms") for verdict in verdicts)
                for part in ("gate", "compile", "test")
            }
            if number:  # the first round warms the file cache
                rounds.append(Round(farm, yardstick, agree, parts))
    return rounds


def _farm(judge: Judge, contest: Contest, group: Sequence[tuple[Candidate, Outcome]]) -> tuple[float, list[Scored]]:
    submissions = [
        Submission(str(number), candidate.source, candidate.problem if contest.runs else _unasked(candidate.problem))
        for number, (candidate, _) in enumerate(group)
    ]
    started = time.perf_counter()
    verdicts = judge.judge(submissions)
    seconds = (time.perf_counter() - started) / len(group)
    scored = [verdict for verdict in verdicts if isinstance(verdict, Scored)]
    if len(scored) < len(verdicts):
        raise SystemExit(f"error: the farm failed while it was measured: {verdicts}")
    return seconds, scored


def _unasked(problem: Problem) -> Problem:
    return Problem(problem.entry, problem.params, problem.returns)


def _yardstick(contest: Contest, few: Sequence[Candidate]) -> tuple[float, list[bool]]:
    seconds, good = 0.0, []
    for candidate in few:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
            started = time.perf_counter()
            good.append(contest.judge_one(candidate, Path(folder)))
            seconds += time.perf_counter() - started
    return seconds / len(few), good


def _summary(contest: Contest, rounds: Sequence[Round]) -> dict[str, object]:
    ratios = [each.yardstick / each.farm for each in rounds]
    rates = [1 / each.farm for each in rounds]
    ratio, rate = statistics.median(ratios), statistics.median(rates)
    return {
        "yardstick": contest.yardstick,
        "farm_per_second": rate,
        "farm_per_second_range": (min(rates), max(rates)),
        "yardstick_per_second": statistics.median(1 / each.yardstick for each in rounds),
        "ratio": ratio,
        "ratio_range": (min(ratios), max(ratios)),
        "goal_ratio": contest.goal_ratio,
        "goal_per_second": contest.goal_rate,
        "reached": ratio >= contest.goal_ratio and rate >= contest.goal_rate,
        "same_verdict": statistics.mean(each.agree for each in rounds),
        "milliseconds": {part: statistics.median(each.parts[part] for each in rounds) for part in rounds[0].parts},
        "rounds": [asdict(each) for each in rounds],
    }


def _print(report: dict[str, object]) -> None:
    table = Table(title="Reward farm, verdicts per second on one core (medians; range over rounds)")
    for column in ("", "farm", "yardstick", "times (range)", "goal", "", "same verdict"):
        table.add_column(column)
    contests = report["contests"]
    assert isinstance(contests, dict)
    for name, each in contests.items():
        low, high = each["ratio_range"]
        goal = f"{each['goal_ratio']:.0f}x" + (f", {each['goal_per_second']:.0f}/s" if each["goal_per_second"] else "")
        table.add_row(
            f"{name}\n  beside {each['yardstick']}", f"{each['farm_per_second']:.1f}",
            f"{each['yardstick_per_second']:.2f}", f"{each['ratio']:.1f} ({low:.1f}-{high:.1f})", goal,
            "reached" if each["reached"] else "missed", f"{each['same_verdict']:.0%}",
        )  # fmt: skip
    console = Console(width=max(120, Console().width))
    console.print(table)
    for name, each in contests.items():
        parts = ", ".join(f"{part} {milliseconds:.1f}" for part, milliseconds in each["milliseconds"].items())
        console.print(f"{name}: of the farm's milliseconds a candidate, {parts}")
    machine = report["machine"]
    console.print(f"{machine}, {report['rustc']}, load {report['load_before']:.2f} to {report['load_after']:.2f}")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

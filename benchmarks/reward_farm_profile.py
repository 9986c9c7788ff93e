"""Where the time of a verdict goes, beside cargo's: `python -m benchmarks.reward_farm_profile`.

The same candidates as in `benchmarks.reward_farm`, half of them bad, on one core. Prints milliseconds a candidate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.candidates import Candidate, mixed
from benchmarks.reward_farm import CARGO, half_bad, write_package
from reward_farm.compiler import Compiler, Unit
from reward_farm.exam import prepare
from reward_farm.examiner import Examiner
from reward_farm.gate import Parsed, examine
from reward_farm.sandbox import Finished, Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import Toolchain, find_toolchain

STARTS = 20
Parts = dict[str, float]


class Timed(Sandbox):
    """Remembers how long each run of rustc took, and whether it ended clean."""

    def __init__(self, toolchain: Toolchain, settings: FarmSettings) -> None:
        super().__init__(toolchain, settings)
        self.seconds: dict[bool, list[float]] = defaultdict(list)

    def compile(self, workspace: Path, arguments: list[str]) -> Finished:
        """As a sandbox does."""
        started = time.perf_counter()
        finished = super().compile(workspace, arguments)
        self.seconds[finished.exit_code == 0].append(time.perf_counter() - started)
        return finished


def main() -> None:
    """Measures, and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cargo", type=int, default=4, help="candidates a round for cargo, one by one")
    parser.add_argument("--batch", type=int, default=FarmSettings().max_batch)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = FarmSettings(cache_size=0, clippy=True)
    toolchain = find_toolchain(settings)
    pool = half_bad(mixed(options.seed))
    rounds: list[tuple[Parts, Parts]] = []
    for _ in range(options.rounds + 1):
        batch = [next(pool)[0] for _ in range(options.batch)]
        rounds.append((_farm(toolchain, settings, batch), _cargo(batch[: options.cargo])))
    farm, cargo = (_medians([each[side] for each in rounds[1:]]) for side in (0, 1))  # the first warms the file cache
    console = Console(width=max(120, Console().width))
    console.print(_table(f"The farm, batches of {options.batch}", farm, sum(cargo.values())))
    console.print(_table("cargo, one by one", cargo, sum(cargo.values())))
    bare, jailed = _starts(toolchain, Timed(toolchain, settings))
    console.print(
        f"`rustc -V` takes {bare:.1f} ms, in a jail {jailed:.1f} ms: jails are about "
        f"{4 * (jailed - bare) / options.batch:.1f} ms of the farm's sum, two for rustc and two for questions a batch"
    )


def _farm(toolchain: Toolchain, settings: FarmSettings, batch: list[Candidate]) -> Parts:
    sandbox = Timed(toolchain, settings)
    started = time.perf_counter()
    looked = [examine(each.source, each.problem.entry, settings.max_source_bytes) for each in batch]
    units = [
        Unit(index, parsed.source, batch[index].problem)
        for index, parsed in enumerate(looked)
        if isinstance(parsed, Parsed) and not parsed.alone
    ]
    gated = time.perf_counter()
    with Compiler(sandbox) as compiler:
        compiler.compile(units)
        compiled = time.perf_counter()
        for library in compiler.libraries:
            Examiner(sandbox).examine(library, {index: prepare(batch[index].problem) for index in library.members})
        examined = time.perf_counter()
    failed, clean = sum(sandbox.seconds[False]), sum(sandbox.seconds[True])
    seconds = {
        "gate (tree-sitter)": gated - started,
        "rustc on all, which ends with the errors of some": failed,
        "rustc on the rest: check, lint, generate code, link": clean,
        "files written and messages read": compiled - gated - failed - clean,
        "10 questions to each that compiled, in two jails": examined - compiled,
    }
    return {part: value * 1000 / len(batch) for part, value in seconds.items()}


def _cargo(few: list[Candidate]) -> Parts:
    seconds: Parts = defaultdict(float)
    for candidate in few:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
            folder = Path(name)
            write_package(candidate, folder)
            for command in CARGO:
                seconds[f"cargo {command[0]}"] += _timed(["cargo", *command, "--offline", "--quiet"], folder)
    return {part: value * 1000 / len(few) for part, value in seconds.items()}


def _starts(toolchain: Toolchain, sandbox: Sandbox) -> tuple[float, float]:
    """Milliseconds in which rustc starts and ends, without and with a jail."""
    workspace = sandbox.new_workspace()
    try:
        for folder in ("src", "out"):
            (workspace / folder).mkdir()

        def median(start: Callable[[], object]) -> float:
            seconds = []
            for _ in range(STARTS):
                started = time.perf_counter()
                start()
                seconds.append(time.perf_counter() - started)
            return statistics.median(seconds) * 1000

        driver = toolchain.rustc.with_name("clippy-driver")
        bare = median(lambda: subprocess.run([driver, "--rustc", "-V"], capture_output=True))
        return bare, median(lambda: sandbox.compile(workspace, ["-V"]))
    finally:
        for folder in ("src", "out"):
            (workspace / folder).rmdir()
        workspace.rmdir()


def _timed(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return time.perf_counter() - started


def _medians(rounds: list[Parts]) -> Parts:
    return {part: statistics.median(each[part] for each in rounds) for part in rounds[0]}


def _table(title: str, parts: Parts, yardstick: float) -> Table:
    table = Table(title=title)
    for column in ("part", "ms a candidate", "share", "cargo is ... times as long"):
        table.add_column(column, justify="left" if column == "part" else "right")
    total = sum(parts.values())
    for part, milliseconds in parts.items():
        table.add_row(part, f"{milliseconds:.2f}", f"{milliseconds / total:.0%}", "")
    table.add_row("sum", f"{total:.2f}", "100%", f"{yardstick / total:.1f}")
    return table


if __name__ == "__main__":
    main()

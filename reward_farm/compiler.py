"""Compiles candidates, many to a crate, and says of each whether it type-checks and links. Runs none of them.

Each candidate is a module of one crate, beside glue that decodes arguments, calls its function and encodes the answer.
One rustc run both checks and links: if nobody errs, the batch is a shared library. Otherwise the errors name the files,
those candidates are out, and the others go again, so that a candidate only ever passes by a run that ended clean.

    batch ──rustc──► clean? ─► library
                      │ errors in c3, c7 ─► c3, c7 are judged; the rest go again
                      └ crash, timeout or an error that names nobody ─► smaller batches, down to one

A candidate that crashes rustc when alone, by a limit or a signal that only it can have met, is guilty. Where the
evidence could be ours (an error without a file, SIGKILL, no memory), a control decides: if a trivial candidate compiles
now, the fault is not ours.
"""

from __future__ import annotations

import math
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from reward_farm.diagnostics import Report, read_report
from reward_farm.errors import SandboxFault
from reward_farm.gate import Moved
from reward_farm.glue import write_crate
from reward_farm.problem import Case, Problem
from reward_farm.sandbox import Finished, Sandbox
from reward_farm.toolchain import JAIL_SYSROOT
from reward_farm.verdict import Diagnostic, Outcome

_ICE = 101
"""rustc's exit code for an internal compiler error."""
_SIGKILL, _SIGXCPU = 128 + 9, 128 + 24


@dataclass(frozen=True, slots=True)
class Unit:
    """One candidate to compile, and the problem that gives its function's types.

    A problem without cases is only type-checked. All units of one call agree in that; an `alone` unit comes by itself.
    """

    index: int
    source: str
    problem: Problem
    alone: bool = False
    published: tuple[Moved, ...] = ()
    """See `gate.Parsed.published`."""


@dataclass(slots=True)
class Fate:
    """What became of a candidate. `outcome` is None where it compiled; then it is in a library, unless only checked."""

    outcome: Outcome | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    milliseconds: float = 0.0
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Library:
    """A linked batch: `batch.so` in `folder`, with the indices of its members by place."""

    folder: Path
    members: tuple[int, ...]


CONTROL = Unit(0, "pub fn control() -> bool { true }\n", Problem("control", (), "bool", (Case((), True),)))
"""A candidate that compiles and passes wherever the farm works."""


@dataclass(slots=True)
class Compiler:
    """Compiles in one sandbox. Its libraries are on disk until the context ends."""

    sandbox: Sandbox
    libraries: list[Library] = field(default_factory=list)
    fallbacks: int = 0
    """Attempts beyond the first of a call: members that erred were left out, or the batch was split."""

    def __enter__(self) -> Compiler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for library in self.libraries:
            shutil.rmtree(library.folder.parent, ignore_errors=True)

    def compile(self, units: Sequence[Unit]) -> dict[int, Fate]:
        """The fate of every unit, by index."""
        fates = {unit.index: Fate() for unit in units}
        waiting = [list(units)] if units else []
        while waiting:
            batch = waiting.pop()
            started = time.perf_counter()
            try:
                again = self._attempt(batch, fates)
                self.fallbacks += len(again)
                waiting.extend(again)
            except (SandboxFault, OSError) as error:
                for unit in batch:
                    fates[unit.index].fault = str(error)
            for unit in batch:
                fates[unit.index].milliseconds += (time.perf_counter() - started) * 1000 / len(batch)
        return fates

    def _attempt(self, batch: list[Unit], fates: dict[int, Fate]) -> list[list[Unit]]:
        """Compiles once: settles whom it can, and returns what must be compiled again."""
        token = "x" + secrets.token_hex(6)
        workspace = self.sandbox.new_workspace()
        kept = False
        try:
            write_crate(workspace / "src", batch, token)
            finished, report = self._run(workspace, batch, token)
            if finished.exit_code != 0:
                return self._settle(batch, fates, finished, report)
            for place, unit in enumerate(batch):
                fates[unit.index].diagnostics = _moved_back(report.warnings.get(place, ()), unit)
            if batch[0].problem.runs:
                self.libraries.append(Library(workspace / "out", tuple(unit.index for unit in batch)))
                kept = True
            return []
        finally:
            if not kept:
                shutil.rmtree(workspace, ignore_errors=True)

    def _run(self, workspace: Path, batch: Sequence[Unit], token: str) -> tuple[Finished, Report]:
        """rustc on a crate of many modules; for one that is alone, on its own crate first."""
        links = batch[0].problem.runs
        warnings: dict[int, list[Diagnostic]] = {}
        library = ["--crate-type", "cdylib", "--extern", f"w{token}=/harness/librf_wire.rlib", "/src/root.rs"]
        steps = [[*self._linked("batch.so"), *library]] if links else []
        if batch[0].alone:
            name = f"m{token}_00"
            kind = self._linked(f"lib{name}.rlib") if links else _CHECKED
            own = ["--crate-type", "rlib", "--crate-name", name, "-F", "unsafe_code", *kind, f"/src/c{token}_00.rs"]
            steps = [own, *([*step, "--extern", f"{name}=/out/lib{name}.rlib"] for step in steps)]
        elif not links:
            steps = [["--crate-type", "lib", *_CHECKED, "/src/root.rs"]]
        settings = self.sandbox.settings
        always = ["--edition", settings.edition, *_ALWAYS, *(_LINTS if settings.clippy else [])]
        for step in steps:
            finished = self.sandbox.compile(workspace, [*always, *step])
            report = read_report(finished.output, token)
            report.warnings = warnings = report.warnings | warnings
            if finished.exit_code != 0:
                break
        return finished, report

    def _linked(self, name: str) -> list[str]:
        linker = f"{JAIL_SYSROOT}/lib/rustlib/{self.sandbox.toolchain.host}/bin/rust-lld"
        return [
            "--emit", f"metadata=/out/{name}.rmeta,link=/out/{name}", "-L", "native=/harness/link",
            "-C", f"linker={linker}", "-C", "linker-flavor=ld.lld", "-C", "link-arg=--threads=1",
            "-C", "prefer-dynamic",
        ]  # fmt: skip

    def _settle(
        self, batch: list[Unit], fates: dict[int, Fate], finished: Finished, report: Report
    ) -> list[list[Unit]]:
        """What a run that did not end clean says of its members."""
        failed = Outcome.LINK_FAILED if report.analysed else Outcome.COMPILE_ERROR
        if report.errors:
            for place, errors in report.errors.items():
                fate = fates[batch[place].index]
                fate.outcome = failed
                fate.diagnostics = _moved_back((*errors, *report.warnings.get(place, ())), batch[place])
            rest = [unit for place, unit in enumerate(batch) if place not in report.errors]
            return [rest] if rest else []
        crash = _crash(finished)
        if len(batch) > 1:
            # A limit costs all of it each time that it is met: then one by one is cheaper than halves.
            limited = crash in (Outcome.COMPILE_TIMEOUT, Outcome.COMPILE_MEMORY)
            size = 1 if limited else math.ceil(len(batch) / 2)
            return [batch[start : start + size] for start in range(0, len(batch), size)]
        fate = fates[batch[0].index]
        said = report.strays[0] if report.strays else f"rustc ended with {finished.exit_code}"
        if crash in (None, Outcome.COMPILE_MEMORY) and not self._works():
            fate.fault = f"{said}: {finished.output[-300:].decode(errors='replace')}"
        else:
            ended = Outcome.COMPILE_TIMEOUT if finished.late else Outcome.COMPILER_CRASH
            fate.outcome = crash or (failed if report.strays else ended)
            fate.diagnostics = (Diagnostic("error", None, said, 1, 1),)
        return []

    def _works(self) -> bool:
        """Whether a trivial candidate compiles at this moment."""
        workspace = self.sandbox.new_workspace()
        try:
            write_crate(workspace / "src", [CONTROL], "control")
            return self._run(workspace, [CONTROL], "control")[0].exit_code == 0
        except (SandboxFault, OSError):
            return False
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


_ALWAYS = [
    "--error-format", "json", "--json", "artifacts",
    "-C", "codegen-units=1", "-C", "debuginfo=0", "-C", "overflow-checks=on",
]  # fmt: skip
_LINTS = ["--force-warn", "clippy::all"]
"""Whatever a candidate says of them: denied, a lint would fail what rustc lets pass; allowed, it would be hidden."""
_CHECKED = ["--emit", "metadata=/out/checked.rmeta"]


def _moved_back(diagnostics: Sequence[Diagnostic], unit: Unit) -> tuple[Diagnostic, ...]:
    """With the columns of the text as it was before the gate made its function `pub`."""

    def column(line: int, at: int) -> int:
        for moved in unit.published:
            at = moved.back(line, at)
        return at

    return tuple(
        replace(found, column=column(found.line, found.column), end_column=column(found.end_line, found.end_column))
        for found in diagnostics
    )


def _crash(finished: Finished) -> Outcome | None:
    """How rustc failed to answer, where only the candidate can be the cause."""
    code = finished.exit_code
    if finished.out_of_memory:
        return Outcome.COMPILE_MEMORY
    if code == _SIGXCPU:
        return Outcome.COMPILE_TIMEOUT
    if code == _ICE or (code is not None and code > 128 and code != _SIGKILL):
        return Outcome.COMPILER_CRASH
    return None

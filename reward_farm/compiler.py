"""Compiles candidates, many to a crate, and says of each whether it type-checks and links. Runs none of them.

Each candidate is a module of one crate, beside glue that decodes arguments, calls its function and encodes the answer.
One rustc run both checks and links: if nobody errs, the batch is a shared library. Otherwise the errors name the files,
those candidates are out, and the others go again, so that a candidate only ever passes by a run that ended clean.

    batch ──rustc──► clean? ─► library
                      │ errors in c3, c7 ─► c3, c7 are judged; the rest go again
                      └ crash, timeout, memory or an error that names nobody ─► halves, down to one: that one is guilty
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from reward_farm.diagnostics import Report, read_report
from reward_farm.errors import SandboxFault
from reward_farm.problem import Problem
from reward_farm.rust_type import parse_type
from reward_farm.sandbox import Finished, Sandbox
from reward_farm.toolchain import JAIL_SYSROOT
from reward_farm.verdict import Diagnostic, Outcome

_ICE = 101
"""rustc's exit code for an internal compiler error."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One candidate to compile: parsed text and the problem that gives its function's types."""

    index: int
    source: str
    problem: Problem


@dataclass(slots=True)
class Fate:
    """What became of a candidate. `outcome` is None where it compiled; then it is in `library` under its index."""

    outcome: Outcome | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    library: Library | None = None
    milliseconds: float = 0.0
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Library:
    """A linked batch: `batch.so` in `folder`, with the indices of its members by place."""

    folder: Path
    members: tuple[int, ...]


@dataclass(slots=True)
class Compiler:
    """Compiles in one sandbox. Its libraries are on disk until the context ends."""

    sandbox: Sandbox
    libraries: list[Library] = field(default_factory=list)

    def __enter__(self) -> Compiler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for library in self.libraries:
            shutil.rmtree(library.folder.parent, ignore_errors=True)

    def compile(self, units: Sequence[Unit]) -> dict[int, Fate]:
        """The fate of every unit, by index."""
        fates: dict[int, Fate] = {}
        waiting = [list(units)] if units else []
        while waiting:
            batch = waiting.pop()
            again = self._attempt(batch, fates)
            waiting.extend(again)
        return fates

    def _attempt(self, batch: list[Unit], fates: dict[int, Fate]) -> list[list[Unit]]:
        """One rustc run: settles whom it can, and returns what must be compiled again."""
        started = time.perf_counter()
        token = "x" + secrets.token_hex(6)
        workspace = self.sandbox.new_workspace()
        try:
            write_crate(workspace / "src", batch, token)
            finished = self.sandbox.compile(workspace, self._arguments(token))
        except (SandboxFault, OSError) as error:
            shutil.rmtree(workspace, ignore_errors=True)
            for unit in batch:
                fates[unit.index] = Fate(fault=str(error))
            return []
        share = (time.perf_counter() - started) * 1000 / len(batch)
        for unit in batch:
            fates.setdefault(unit.index, Fate()).milliseconds += share
        report = read_report(finished.output, token)
        if finished.exit_code == 0:
            library = Library(workspace / "out", tuple(unit.index for unit in batch))
            self.libraries.append(library)
            for place, unit in enumerate(batch):
                fate = fates[unit.index]
                fate.library, fate.diagnostics = library, tuple(report.warnings.get(place, ()))
            return []
        shutil.rmtree(workspace, ignore_errors=True)
        return self._settle(batch, fates, finished, report)

    def _settle(
        self, batch: list[Unit], fates: dict[int, Fate], finished: Finished, report: Report
    ) -> list[list[Unit]]:
        """What a run that did not end clean says of its members."""
        crash = _crash(finished)
        if crash is None and report.errors:
            outcome = Outcome.LINK_FAILED if report.analysed else Outcome.COMPILE_ERROR
            for place, errors in report.errors.items():
                fate = fates[batch[place].index]
                fate.outcome, fate.diagnostics = outcome, (*errors, *report.warnings.get(place, ()))
            rest = [unit for place, unit in enumerate(batch) if place not in report.errors]
            return [rest] if rest else []
        if len(batch) > 1:
            middle = len(batch) // 2
            return [batch[:middle], batch[middle:]]
        fate = fates[batch[0].index]
        if crash is None and not report.strays:
            fate.fault = f"rustc ended with {finished.exit_code} and no diagnostic: {finished.output[-300:]!r}"
        elif any("os error 28" in stray for stray in report.strays):
            fate.fault = f"the disk is full: {report.strays[0]}"
        else:
            failed = Outcome.LINK_FAILED if report.analysed else Outcome.COMPILE_ERROR
            fate.outcome = crash or failed
            said = Diagnostic("error", None, (report.strays or [str(fate.outcome)])[0], 1, 1)
            fate.diagnostics = tuple(report.errors.get(0, [said]))
        return []

    def _arguments(self, token: str) -> list[str]:
        settings, host = self.sandbox.settings, self.sandbox.toolchain.host
        return [
            "--edition", settings.edition, "--crate-type", "cdylib", "--crate-name", "batch",
            "--emit", "metadata=/out/batch.rmeta,link=/out/batch.so", "--error-format", "json", "--json", "artifacts",
            "-C", "prefer-dynamic", "-C", "codegen-units=1", "-C", "debuginfo=0", "-C", "overflow-checks=on",
            "-C", f"linker={JAIL_SYSROOT}/lib/rustlib/{host}/bin/rust-lld", "-C", "linker-flavor=ld.lld",
            "-L", "native=/harness/link", "--extern", f"w{token}=/harness/librf_wire.rlib", "/src/root.rs",
        ]  # fmt: skip


def write_crate(folder: Path, batch: Sequence[Unit], token: str) -> None:
    """The crate's files. Names hold the token, so no candidate can name a sibling, its glue or the wire."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "out").mkdir(exist_ok=True)
    root, arms = [], []
    for place, unit in enumerate(batch):
        # `forbid` here and not on the command line: the root itself exports a symbol.
        root.append(f'#[forbid(unsafe_code)] #[path = "c{token}_{place}.rs"] pub mod m{token}_{place};')
        root.append(f'#[path = "g{token}_{place}.rs"] mod g{token}_{place};')
        arms.append(f"{place} => g{token}_{place}::call(input, out),")
        (folder / f"c{token}_{place}.rs").write_text(unit.source, encoding="utf-8")
        (folder / f"g{token}_{place}.rs").write_text(_glue(unit.problem, token, place), encoding="utf-8")
    dispatch = (
        "#[unsafe(no_mangle)]\npub fn rf_dispatch(index: u32, input: &[u8], out: &mut ::std::vec::Vec<u8>) {\n"
        f"    match index {{ {' '.join(arms)} _ => ::std::process::abort() }}\n}}\n"
    )
    (folder / "root.rs").write_text("\n".join(root) + "\n" + dispatch, encoding="utf-8")


def _glue(problem: Problem, token: str, place: int) -> str:
    """Trusted Rust that pins the function's types: a return type that merely compares equal to anything is E0308."""
    reads = [
        f"    let a{n}: {parse_type(kind)} = ::w{token}::Decode::decode(&mut input);"
        for n, kind in enumerate(problem.params)
    ]
    arguments = ", ".join(f"a{n}" for n in range(len(problem.params)))
    return "\n".join(
        [
            "pub fn call(input: &[u8], out: &mut ::std::vec::Vec<u8>) {",
            f"    {'let mut' if reads else 'let'} input = ::w{token}::Input(input);",
            *(reads or ["    let _ = input;"]),
            f"    let got: {parse_type(problem.returns)} = crate::m{token}_{place}::{problem.entry}({arguments});",
            f"    ::w{token}::Encode::encode(&got, out);",
            "}\n",
        ]
    )


def _crash(finished: Finished) -> Outcome | None:
    """How rustc failed to answer, if it did: by a limit, a signal or an internal error."""
    code = finished.exit_code
    if finished.late or code in (128 + 9, 128 + 24):  # SIGKILL and SIGXCPU end a process past RLIMIT_CPU
        return Outcome.COMPILE_TIMEOUT
    if finished.flooded:
        return Outcome.COMPILE_ERROR
    if code == _ICE or (code is not None and code > 128):
        return Outcome.COMPILER_CRASH
    return None

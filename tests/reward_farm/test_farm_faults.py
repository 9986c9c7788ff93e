"""What is our fault is said to be ours: a typed error before judging starts, an `InfraFault` after, never a reward."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import pytest

from reward_farm.compiler import Compiler
from reward_farm.errors import BadValue, RustcMissing, SandboxUnavailable, UnsupportedType
from reward_farm.judge import Judge
from reward_farm.probe import probe
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, Scored

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4),))
ALLOW_EVERYTHING = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
HONEST = Submission("honest", "pub fn solve(x: i64) -> i64 { x * x }", SQUARE)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_rustc_is_one_clear_error(
    settings: FarmSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RustcMissing, match=r"no rustc was found.*https://rustup\.rs"):
        Judge(settings)
    monkeypatch.undo()
    with pytest.raises(RustcMissing, match="/nowhere/rustc is not an executable file"):
        Judge(settings.model_copy(update={"rustc": "/nowhere/rustc"}))
    old = script(
        tmp_path / "rustc", "echo 'rustc 1.60.0 (old)'; echo 'host: x86_64-unknown-linux-gnu'; echo 'release: 1.60.0'"
    )
    with pytest.raises(RustcMissing, match=r"1\.85 or newer is needed"):
        Judge(settings.model_copy(update={"rustc": old}))
    broken = script(tmp_path / "rustc", "echo 'no libLLVM' >&2; exit 127")
    with pytest.raises(RustcMissing, match="no libLLVM"):
        Judge(settings.model_copy(update={"rustc": broken}))


def test_a_missing_bubblewrap_is_one_clear_error(settings: FarmSettings) -> None:
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap") as caught:
        Judge(settings.model_copy(update={"bwrap": "/nowhere/bwrap"}))
    assert caught.value.layer == "bubblewrap"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.layer) == (str(caught.value), "bubblewrap")


def test_refused_namespaces_are_one_clear_error(settings: FarmSettings, tmp_path: Path) -> None:
    refused = script(tmp_path / "bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    with pytest.raises(SandboxUnavailable, match=r"No permissions to create new namespace.*unprivileged_userns_clone"):
        Judge(settings.model_copy(update={"bwrap": refused}))


def test_the_canary_sees_a_layer_go(settings: FarmSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would prove nothing if it passed a sandbox without the layer too."""
    leaky = (
        f'#!/bin/bash\nexport PATH="{os.environ["PATH"]}"\nfor word in "$@"; do words+=("$word")\n'
        '[ "$word" = --clearenv ] && words+=(--setenv SECRET x); done\nexec bwrap "${words[@]}"\n'
    )
    path = tmp_path / "bwrap"
    path.write_text(leaky)
    path.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="a canary got through") as caught:
        probe(settings.model_copy(update={"bwrap": str(path)}))
    assert caught.value.layer == "empty-environment"

    monkeypatch.setattr("reward_farm.sandbox.candidate_filter", lambda: ALLOW_EVERYTHING)
    with pytest.raises(SandboxUnavailable, match="a canary got through") as caught:
        probe(settings)
    assert caught.value.layer == "no-processes"


def test_a_scratch_folder_that_goes_is_a_fault_and_not_a_verdict(settings: FarmSettings, tmp_path: Path) -> None:
    with Judge(settings) as fresh:
        fresh._sandbox.settings = settings.model_copy(update={"scratch_dir": tmp_path / "gone"})
        (verdict,) = fresh.judge([HONEST])
    assert isinstance(verdict, InfraFault)
    assert "gone" in verdict.reason


def test_a_toolchain_that_breaks_while_judging_is_a_fault(
    settings: FarmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linker is gone: rustc reports an error that names no candidate, and the control shows whose fault it is."""
    linked = Compiler._linked
    with Judge(settings) as judge:
        monkeypatch.setattr(
            Compiler, "_linked", lambda self, name: [part.replace("rust-lld", "no-lld") for part in linked(self, name)]
        )
        verdicts = judge.judge([HONEST, Submission("wrong", "pub fn solve(x: i64) -> i64 { y }", SQUARE)])
    assert isinstance(verdicts[0], InfraFault)
    assert "no-lld" in verdicts[0].reason
    assert isinstance(verdicts[1], Scored)
    assert verdicts[1].outcome is Outcome.COMPILE_ERROR


@pytest.mark.parametrize(
    ("problem", "error", "says"),
    [
        (Problem("f", ("impl Fn(i32)",), "i32", (Case((1,), 1),)), UnsupportedType, "impl Fn"),
        (Problem("f", ("&mut Vec<i32>",), "i32", (Case(([1],), 1),)), UnsupportedType, "&mut"),
        (Problem("f", ("Point",), "i32", (Case((1,), 1),)), UnsupportedType, "`Point` has no wire form"),
        (Problem("f", ("u8",), "i32", (Case((256,), 1),)), BadValue, "256 is no `u8`"),
        (Problem("f", ("i32",), "char", (Case((1,), "ab"),)), BadValue, "'ab' is no `char`"),
        (Problem("f", ("i32", "i32"), "i32", (Case((1,), 1),)), BadValue, "takes 2 arguments"),
        (Problem("f; evil()", ("i32",), "i32", (Case((1,), 1),)), BadValue, "no name of a Rust function"),
    ],
)
def test_a_malformed_problem_is_its_authors_error(
    problem: Problem, error: type[Exception], says: str, judge: Judge
) -> None:
    with pytest.raises(error, match=says.replace("(", r"\(")):
        judge.judge([HONEST, Submission("odd", "pub fn f() {}", problem)])

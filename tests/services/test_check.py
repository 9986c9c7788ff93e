"""`ferrotype check`: what a person sees, and what a script gets."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from reward_farm.rendering import render
from reward_farm.verdict import Diagnostic, InfraFault, Outcome, RewardBreakdown, Scored, Stage
from services.check import check

ROOT = Path(__file__).parents[2]


def rendered(source: str, *found: Diagnostic, outcome: Outcome = Outcome.COMPILE_ERROR) -> str:
    verdict = Scored("1", outcome, RewardBreakdown(), found, stage=Stage.TYPES)
    return render(verdict, source, "a.rs")


def test_a_span_in_a_line_is_underlined() -> None:
    source = "fn f() -> i32 {\n\tlet é = 1; 漢字(é)\n}\n"
    found = Diagnostic("error", "E0425", "cannot find function", 2, 13, 2, 18, "not found\nin this scope")
    assert rendered(source, found) == (
        "error[E0425]: cannot find function\n"
        " --> a.rs:2:13\n"
        "  |\n"
        "2 |     let é = 1; 漢字(é)\n"
        "  |                ^^^^^^^ not found in this scope\n"
        "\n"
        "a.rs: compile_error: it does not compile (types); 1 error\n"
    )


def test_a_span_over_lines_has_a_rail() -> None:
    source = "fn f() {\n    if x {\n        1\n    } else {\n        2\n    };\n    g(if x {\n        1\n    });\n}\n"
    text = rendered(
        source, Diagnostic("error", None, "whole", 2, 5, 6, 6), Diagnostic("warning", None, "part", 7, 7, 9, 6)
    )
    assert text.split("\n")[2:8] == [
        "  |",
        "2 | /     if x {",
        "3 | |         1",
        "4 | |     } else {",
        "5 | |         2",
        "6 | |     };",
    ]
    assert "  | |_____^\n" in text
    assert "7 |       g(if x {\n  |  _______^\n8 | |         1\n9 | |     });\n  | |_____^\n" in text
    assert text.endswith("1 error, 1 warning\n")


def test_a_long_span_is_cut_and_a_lost_one_has_no_lines() -> None:
    text = rendered(
        "a\n" * 40, Diagnostic("error", None, "long", 1, 1, 30, 2), Diagnostic("error", None, "lost", 99, 1)
    )
    assert text.count("\n") < 24 and "...  |\n" in text and "30 | | a\n" in text
    assert "error: lost\n  --> a.rs:99:1\n\n" in text


def test_nothing_that_a_terminal_obeys_comes_from_the_file() -> None:
    text = rendered("a\x1b[2Jb\x07\r\n", Diagnostic("error", None, "\x1b]0;x\x07", 1, 2, 1, 3))
    assert "\x1b" not in text and "\x07" not in text and "\r" not in text


def test_each_ending_is_one_line() -> None:
    assert rendered("", outcome=Outcome.TEST_TIMEOUT).endswith("test_timeout: it compiles, but does not end in time\n")
    assert render(Scored("1", Outcome.REJECTED, RewardBreakdown(), cheat="unsafe"), "", "a.rs") == (
        "a.rs: rejected: refused by the gate: unsafe\n"
    )
    assert render(Scored("1", Outcome.MISSING_ITEM, RewardBreakdown()), "", "a.rs", "f") == (
        "a.rs: missing_item: `fn f` is not defined\n"
    )
    assert "could not be judged: disk full" in render(InfraFault("1", "disk full"), "", "a.rs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checked")
    (folder / "types.rs").write_text("pub struct Point {\n    pub x: i32,\n}\n")
    (folder / "main.rs").write_text('struct P { x: i32 }\nfn main() {\n    println!("{}", P { x: 1 }.x);\n}\n')
    (folder / "bad.rs").write_text('pub fn f() -> i32 {\n    "a"\n}\n')
    (folder / "bytes.rs").write_bytes(b"fn f() { \xff }\n")
    problem = {"entry": "f", "params": [], "returns": "i32", "cases": [{"args": [], "expected": 4}]}
    (folder / "problem.json").write_text(json.dumps(problem))
    return folder


def test_any_file_can_be_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("types", "main"):
        assert check(str(folder / f"{name}.rs"), "", None, as_json=False, clippy=False) == 0
        assert capsys.readouterr().out == f"{folder}/{name}.rs: ok: compiles clean\n"


def test_exit_codes_say_whose_fault_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(name: str, entry: str = "") -> int:
        return check(str(folder / name), entry, None, as_json=False, clippy=False)

    assert code("bad.rs") == 1
    shown = capsys.readouterr().out
    assert "error[E0308]: mismatched types\n" in shown and "\x1b" not in shown
    assert '2 |     "a"\n  |     ^^^ expected `i32`, found `&str`\n' in shown
    assert code("bytes.rs") == 1
    assert code("bad.rs", "g") == 1
    assert capsys.readouterr().out.endswith("bad.rs: missing_item: `fn g` is not defined\n")
    assert code("nowhere.rs") == 2
    assert "nowhere.rs" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nowhere")
    assert code("bad.rs") == 2
    assert "no rustc was found" in capsys.readouterr().err


def test_a_problems_cases_are_asked_and_the_verdict_is_json(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(text: str, as_json: bool) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        code = check("-", "", folder / "problem.json", as_json=as_json, clippy=False)
        return code, capsys.readouterr().out

    code, shown = judged("/// Four.\npub fn f() -> i32 { 4 }", True)
    assert (code, json.loads(shown)["outcome"], json.loads(shown)["reward"]) == (0, "passed", 30.0)
    code, shown = judged("pub fn f() -> i32 { 5 }", False)
    assert (code, shown) == (1, "<stdin>: test_failed: it compiles, but gives wrong answers; 0 of 1 cases pass\n")


def test_a_wrong_option_is_no_verdict() -> None:
    command = [sys.executable, "-m", "services", "check", "a.rs", "--what"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode == 2


@pytest.mark.parametrize(("environment", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_it_wants_none(folder: Path, environment: dict[str, str], colours: bool) -> None:
    outer, inner = pty.openpty()
    clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "services", "check", str(folder / "bad.rs")],
        cwd=ROOT, stdout=inner, timeout=120, env={**clean, **environment},
    )  # fmt: skip
    os.close(inner)
    shown = os.read(outer, 1 << 16)
    os.close(outer)
    assert done.returncode == 1
    assert (b"\x1b[1;31merror[E0308]\x1b[0m" in shown) is colours
    assert (b"\x1b" in shown) is colours

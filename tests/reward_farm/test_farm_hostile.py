"""Candidates that try to be paid without an answer, to see or touch what isn't theirs, or to stop the farm.

Each ends as expected, none passes, the honest siblings in the same batches all pass, and the machine is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from canaries import Canaries
from hostile import ATTACKS, THEMES
from hostile.attack import ALIAS, HONEST, SOLVE, SQUARE, Attack
from hostile.compiling import BOMBS
from hostile.siblings import BESIDE, POISON
from many_judges import ManyJudges

from reward_farm.compiler import Compiler, Unit
from reward_farm.exam import prepare
from reward_farm.examiner import Examiner
from reward_farm.glue import write_crate
from reward_farm.judge import Judge
from reward_farm.problem import Case, Problem, Submission
from reward_farm.sandbox import Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import find_toolchain
from reward_farm.verdict import Outcome, Scored, Verdict

SIBLINGS = 60
QUICK_BOMBS = ("an endless constant", "types that double", "macros that double", "strings that double",
               "code that doubles in the code generator", "patterns that double")  # fmt: skip
"""One of each kind. Every bomb costs its limit at least once, so the others are for the night."""


@pytest.fixture(scope="module")
def impatient(settings: FarmSettings) -> FarmSettings:
    """What sleeps is ended by the wall clock, which goes by this limit."""
    return settings.model_copy(update={"test_cpu_seconds": 0.1})


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    with Canaries(tmp_path_factory.mktemp("canaries")) as set_out:
        yield set_out


@pytest.fixture(scope="module")
def verdicts(impatient: FarmSettings, canaries: Canaries, judges: ManyJudges) -> dict[str, Scored]:
    submissions = [Submission(name, attack.source, attack.problem) for name, attack in ATTACKS.items()]
    submissions += [Submission(f"sibling {n}", f"{HONEST} // {n}", SQUARE) for n in range(SIBLINGS)]
    Random(0).shuffle(submissions)
    verdicts = _scored(partial(judges.judge, impatient), submissions)
    assert impatient.scratch_dir is not None
    assert [path for path in impatient.scratch_dir.glob("*/*") if path.name != ".lock"] == []
    return verdicts


def _scored(judge: Callable[[list[Submission]], list[Verdict]], submissions: list[Submission]) -> dict[str, Scored]:
    verdicts = judge(submissions)
    assert [verdict.id for verdict in verdicts] == [submission.id for submission in submissions]
    faults = [verdict for verdict in verdicts if not isinstance(verdict, Scored)]
    assert not faults, "no text of a candidate's makes a fault of ours"
    return {verdict.id: verdict for verdict in verdicts if isinstance(verdict, Scored)}


def _earns_nothing(attack: Attack, verdict: Scored) -> None:
    assert verdict.outcome in attack.ends, (verdict.diagnostics[:3], verdict.cases)
    assert verdict.cheat == attack.cheat
    assert not any(case.status == "passed" for case in verdict.cases)
    assert verdict.reward.tests == verdict.reward.quality == 0.0
    if verdict.outcome is Outcome.REJECTED:
        assert verdict.reward.total == 0.0


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_candidate_earns_nothing(name: str, verdicts: dict[str, Scored]) -> None:
    _earns_nothing(ATTACKS[name], verdicts[name])


def test_the_collection_is_large_and_reaches_every_layer(verdicts: dict[str, Scored]) -> None:
    assert len(ATTACKS) + len(BOMBS) >= 62 + 80
    assert len({attack.source for attack in (*ATTACKS.values(), *BOMBS.values())}) == len(ATTACKS) + len(BOMBS)
    assert all(len(attacks) >= 10 for attacks in THEMES.values())
    reached = {verdicts[name].outcome for name in ATTACKS}
    assert reached >= set(Outcome) - {
        Outcome.PASSED, Outcome.COMPILER_CRASH, Outcome.COMPILE_TIMEOUT, Outcome.COMPILE_MEMORY, Outcome.OUTPUT_LIMIT
    }  # fmt: skip


def test_the_siblings_of_hostile_candidates_pass(verdicts: dict[str, Scored]) -> None:
    siblings = {name: verdict.outcome for name, verdict in verdicts.items() if name.startswith("sibling ")}
    assert len(siblings) == SIBLINGS
    assert set(siblings.values()) == {Outcome.PASSED}


@pytest.mark.parametrize("name", POISON)
def test_a_right_answer_changes_nothing_for_those_beside_it(name: str, judge: Judge) -> None:
    submissions = [Submission(beside, source, SQUARE) for beside, source in BESIDE.items()]
    alone = _scored(judge.judge, submissions)
    beside = _scored(judge.judge, [Submission("poison", POISON[name], SQUARE), *submissions])
    assert beside.pop("poison").passed
    assert {key: (verdict.outcome, verdict.diagnostics) for key, verdict in beside.items()} == {
        key: (Outcome.PASSED, verdict.diagnostics) for key, verdict in alone.items()
    }


@pytest.mark.parametrize("names", [QUICK_BOMBS, pytest.param(tuple(BOMBS), marks=pytest.mark.nightly)], ids=len)
def test_a_compile_bomb_takes_no_sibling_with_it(names: tuple[str, ...], settings: FarmSettings) -> None:
    tight = settings.model_copy(update={"compile_cpu_seconds": 1, "compile_memory_mb": 1024})
    submissions = [Submission(name, BOMBS[name].source, SQUARE) for name in names]
    submissions += [Submission(f"sibling {number}", f"{HONEST} // {number}", SQUARE) for number in range(3)]
    with Judge(tight) as judge:
        verdicts = _scored(judge.judge, submissions)
    for name, verdict in verdicts.items():
        if name in BOMBS:
            _earns_nothing(BOMBS[name], verdict)
        else:
            assert verdict.passed


def test_nothing_of_the_machine_is_in_reach(judge: Judge, canaries: Canaries) -> None:
    """Where each canary is, is known to these candidates; they would answer rightly if they got there."""
    attempts = {
        "file": f'hidden::fs::read("{canaries.file}")',
        "file, to write": f'hidden::fs::write("{canaries.file}", "x")',
        "file, to remove": f'hidden::fs::remove_file("{canaries.file}")',
        "file, above": f'hidden::fs::read("../../../../../../../..{canaries.file}")',
        "folder": f'hidden::fs::write("{canaries.folder}/mine", "x")',
        "port": f'hidden::net::TcpStream::connect("127.0.0.1:{canaries.port}")',
        "process": f'hidden::fs::read("/proc/{canaries.process.pid}/environ")',
        "environment": 'hidden::env::var("FERROTYPE_CANARY_KEY")',
    }
    submissions = [
        Submission(name, f"{ALIAS}{SOLVE}{{ {code}.map_or(0, |_| x * x) }}", SQUARE) for name, code in attempts.items()
    ]
    for name, macro, what in (("file", "include_bytes", canaries.file), ("environment", "env", "FERROTYPE_CANARY_KEY")):
        by_macro = f'macro_rules! call {{ ($m:ident) => {{ $m!("{what}") }} }}\nconst P: &[u8] = call!({macro});\n'
        submissions.append(Submission(f"{name}, compiled", by_macro + HONEST, SQUARE))
    for name, verdict in _scored(judge.judge, submissions).items():
        assert verdict.outcome is (Outcome.COMPILE_ERROR if "compiled" in name else Outcome.TEST_FAILED), name
    assert canaries.touched() == set()


# The gate looked away and the compiler allowed unsafe code: the jail alone must hold.
RAW_ATTACKS = {
    "fork": "fork()",
    "send a signal to the harness": "kill(1, 9)",
    "send a signal to all": "kill(-1, 9)",
    "send a signal to a process of the machine": "kill({pid}, 9)",
    "send a signal by a descriptor": "syscall(434, {pid}, 0)",
    "trace the harness": "ptrace(16, 2, 0, 0)",
    "trace a process of the machine": "ptrace(16, {pid}, 0, 0)",
    "read the memory of a process": "syscall(310, {pid}, 0, 0, 0, 0, 0)",
    "make a namespace": "unshare(0x10000000)",
    "mount": 'syscall(165, c"none".as_ptr(), c"/job".as_ptr(), c"tmpfs".as_ptr(), 0, 0)',
    "open a socket": "socket(2, 1, 0)",
    "open a socket to the host of a virtual machine": "socket(40, 1, 0)",
    "open a socket to the kernel": "socket(16, 3, 0)",
    "open a file": 'open(c"/job/batch.so".as_ptr(), 0)',
    "open a file of the machine": 'open(c"{file}".as_ptr(), 2)',
    "make a file in memory": 'syscall(319, c"x".as_ptr(), 0)',
    "run a program": 'execve(c"/server".as_ptr(), 0, 0)',
    "map memory that can run": "if mmap(0, 4096, 7, 0x22, -1, 0) == usize::MAX {{ -1 }} else {{ 0 }}",
    "use a keyring": "syscall(250, 0, -3, 0, 0)",
    "read a key of the machine": "syscall(250, 11, {key}, 0, 0)",
    "change a key of the machine": 'syscall(250, 2, {key}, c"x".as_ptr(), 1)',
    "add a key": 'syscall(248, c"user".as_ptr(), c"ferrotype-canary".as_ptr(), c"x".as_ptr(), 1, -3)',
    "share memory": "syscall(29, 7, 4096, 0o1666)",
    "send a message": "syscall(68, 7, 0o1666)",
    "use io_uring": "syscall(425, 8, 0)",
    "load a program into the kernel": "syscall(321, 0, 0, 0)",
    "count the machine's events": "syscall(298, 0, 0, -1, -1, 0)",
    "handle its own page faults": "syscall(323, 0)",
    "read the job pipe": "if read(0, [0u8; 64].as_mut_ptr(), 64) > 0 {{ 0 }} else {{ -1 }}",
    "raise its own limits": "setrlimit(9, [u64::MAX; 2].as_ptr())",
    "lift its timer": "setitimer(2, [0u64; 4].as_ptr(), 0)",
    "set the clock": "syscall(227, 0, [0u64; 2].as_ptr())",
    "call by the numbers of another system": "syscall(0x4000_0000 + 41, 2, 1, 0)",
    "hide its name": 'syscall(157, 15, c"rustc".as_ptr(), 0, 0, 0)',
}
"""Format strings: `{pid}`, `{file}` and `{key}` are the canaries'."""


def test_the_jail_holds_without_gate_and_compiler(
    settings: FarmSettings, monkeypatch: pytest.MonkeyPatch, canaries: Canaries
) -> None:
    def permissive(folder: Path, *arguments: object) -> None:
        write_crate(folder, *arguments)  # type: ignore[arg-type]
        root = folder / "root.rs"
        root.write_text(root.read_text().replace("#[forbid(unsafe_code)]", ""))

    codes = [
        code.format(pid=canaries.process.pid, file=canaries.file, key=canaries.key) for code in RAW_ATTACKS.values()
    ]
    arms = "".join(f"        {number} => ({code}) as i64,\n" for number, code in enumerate(codes))
    monkeypatch.setattr("reward_farm.compiler.write_crate", permissive)
    cases = (*(Case((number,), -1) for number in range(len(codes))), Case((99,), 7))
    problem = Problem("attack", ("usize",), "i64", cases)
    sandbox = Sandbox(find_toolchain(settings), settings)
    with Compiler(sandbox) as compiler:
        fate = compiler.compile([Unit(0, _DECLARED + arms + _END, problem)])[0]
        assert fate.outcome is None, fate.diagnostics
        examined = Examiner(sandbox).examine(compiler.libraries[0], {0: prepare(problem)})[0]
    asked = zip((*RAW_ATTACKS, "control"), examined.cases, strict=True)
    through = {name: case for name, case in asked if case.status != "passed"}
    assert not through
    assert canaries.touched() == set()


_DECLARED = (
    'use std::ffi::c_char;\nextern "C" {\n'
    "    fn fork() -> i32; fn kill(p: i32, s: i32) -> i32; fn unshare(f: i32) -> i32;\n"
    "    fn ptrace(r: i64, p: i32, a: usize, d: usize) -> i64; fn socket(d: i32, t: i32, p: i32) -> i32;\n"
    "    fn open(p: *const c_char, f: i32) -> i32; fn execve(p: *const c_char, a: usize, e: usize) -> i32;\n"
    "    fn mmap(a: usize, l: usize, p: i32, f: i32, d: i32, o: i64) -> usize; fn syscall(n: i64, ...) -> i64;\n"
    "    fn read(f: i32, b: *mut u8, n: usize) -> isize; fn setrlimit(r: i32, l: *const u64) -> i32;\n"
    "    fn setitimer(w: i32, n: *const u64, o: usize) -> i32;\n}\n"
    "pub fn attack(which: usize) -> i64 {\n    unsafe { match which {\n"
)
_END = "        _ => 7,\n    } }\n}\n"

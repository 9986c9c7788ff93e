"""Asks a linked batch its hidden cases, one process a case, and compares the answers here, outside the jail.

A job is a nonce and encoded arguments. An answer counts only if exactly one frame with that nonce came, it decodes
to the function's type, and the process ended by itself with 0. What a candidate prints and how it exits earn nothing:
its output goes nowhere and is not limited but by its time.

Who answers all is asked all again, backwards and in a jail of its own, where addresses, hash seeds and time are others:
an answer that holds only once is flaky, and no answer.
"""

from __future__ import annotations

import os
import secrets
import select
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reward_farm.compiler import Library
from reward_farm.errors import SandboxFault
from reward_farm.exam import Exam, Question
from reward_farm.rust_type import RustType
from reward_farm.sandbox import Jail, Sandbox
from reward_farm.verdict import CaseResult, Outcome
from reward_farm.wire import MAX_ANSWER, BadFrame, decode, same

_HEAD = 20
"""Bytes of nonce and length before an answer."""
_MAX_FRAME = 1 + _HEAD + MAX_ANSWER
_PANICKED, _NO_CONFINEMENT = 101, 120
_PANIC = CaseResult("crashed", "panicked")
_CONFINED = b"c"
"""What a test process sends first, before the candidate's code runs: from then on its exit code is the candidate's."""
_SHOWN = 200
_SIGPROF, _SIGXCPU = 27, 24


@dataclass(frozen=True, slots=True)
class Examined:
    """A candidate's results in the order of its cases; those after a timeout are not asked and count as not passed."""

    outcome: Outcome
    cases: tuple[CaseResult, ...]
    milliseconds: float


class Examiner:
    """Runs batches in one sandbox's jails."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def examine(self, library: Library, exams: Mapping[int, Exam]) -> dict[int, Examined]:
        """Every member's results, by its index.

        Raises SandboxFault if the jail or its harness fails; no candidate can cause that.
        """
        results: dict[int, Examined] = {}
        with self._sandbox.serve(library.folder) as jail:
            session = _Session(jail, self._sandbox)
            for place, index in enumerate(library.members):
                results[index] = _examined(session.cases(place, exams[index]), exams[index])
        passed = [
            (place, index) for place, index in enumerate(library.members) if results[index].outcome is Outcome.PASSED
        ]
        if passed:
            with self._sandbox.serve(library.folder) as jail:
                session = _Session(jail, self._sandbox)
                for place, index in reversed(passed):
                    first = results[index]
                    again = _examined(session.cases_again(place, exams[index], first.cases), exams[index])
                    results[index] = replace(again, milliseconds=again.milliseconds + first.milliseconds)
        return results


def _examined(cases: Iterator[CaseResult], exam: Exam) -> Examined:
    started = time.perf_counter()
    results = tuple(cases)
    elapsed = (time.perf_counter() - started) * 1000
    return Examined(_outcome(results, len(exam.questions)), results, elapsed)


class _Session:
    """The conversation with one harness."""

    def __init__(self, jail: Jail, sandbox: Sandbox) -> None:
        settings = sandbox.settings
        assert jail.process.stdin is not None
        assert jail.process.stdout is not None
        self._jobs, self._status = jail.process.stdin, jail.process.stdout.fileno()
        self._frames = jail.frames
        os.set_blocking(self._frames, False)
        # A loaded machine gives a share of a core; the wall clock only ends what sleeps.
        self._wall = 4 * settings.test_cpu_seconds + 2
        limits = struct.pack(
            "<QQQ",
            round(settings.test_cpu_seconds * 1e6),
            round(self._wall * 1000),
            settings.test_memory_mb << 20,
        )
        self._send(limits + _block(sandbox.candidate_filter))
        refusal = self._receive(struct.unpack("<Q", self._receive(8))[0])
        if refusal:
            raise SandboxFault(f"the batch could not be loaded: {refusal.decode(errors='replace')[:300]}")

    def cases(self, place: int, exam: Exam) -> Iterator[CaseResult]:
        """The results of one member; ends after a timeout, which would only come again."""
        for question in exam.questions:
            result = self._ask(place, question, exam.returns)
            # Assertions fail by a panic; which of them, or the candidate itself, can't be told from here.
            yield CaseResult("failed", "panicked") if exam.statements and result == _PANIC else result
            if result.status == "timeout":
                return

    def cases_again(self, place: int, exam: Exam, first: Sequence[CaseResult]) -> Iterator[CaseResult]:
        """The results of a member that passed all at first, now that it is asked once more and its controls too."""
        results = list(first)
        for number in reversed(range(len(results))):
            again = self._ask(place, exam.questions[number], exam.returns)
            if again.status == "timeout":
                return iter((*results[:number], again))
            if again.status != "passed":
                results[number] = CaseResult("flaky", f"right, then {again.status}: {again.got}"[:_SHOWN])
        for control in exam.controls:
            again = self._ask(place, control, exam.returns)
            if again.status == "timeout":
                return iter((again,))
            if again != _PANIC:
                results[0] = CaseResult("flaky", "the assertions held, and with one of them turned round they did too")
        return iter(results)

    def _ask(self, place: int, question: Question, returns: RustType) -> CaseResult:
        nonce = secrets.token_bytes(16)
        self._send(struct.pack("<Q", place) + nonce + _block(question.arguments))
        frame, report = self._await_report()
        status, late = struct.unpack_from("<iB", report)
        if status == -1:
            raise SandboxFault("the harness could not fork")
        code, signal = os.waitstatus_to_exitcode(status), os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if late or signal in (_SIGPROF, _SIGXCPU):
            return CaseResult("timeout")
        if len(frame) > _MAX_FRAME:
            return CaseResult("flooded", f"an answer of more than {MAX_ANSWER} bytes")
        if code == _NO_CONFINEMENT and not frame.startswith(_CONFINED):
            raise SandboxFault("a test process could not be confined")
        if code != 0:
            return _PANIC if code == _PANICKED else CaseResult("crashed", f"ended by {code}")
        return _compare(frame.removeprefix(_CONFINED), nonce, returns, question.expected)

    def _await_report(self) -> tuple[bytes, bytes]:
        """The frame bytes of one job, and the harness's 16-byte report of it.

        The pipe is drained while the child runs, so that a large answer can't block it for ever.
        """
        frame, report = bytearray(), bytearray()
        deadline = time.monotonic() + self._wall + 10
        while len(report) < 16:
            ready, _, _ = select.select([self._status, self._frames], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise SandboxFault("the harness did not report on a job in time")
            if self._frames in ready:
                self._drain(frame)
            if self._status in ready:
                piece = os.read(self._status, 16 - len(report))
                if not piece:
                    raise SandboxFault("the harness ended in the middle of a batch")
                report += piece
        self._drain(frame)
        return bytes(frame), bytes(report)

    def _drain(self, frame: bytearray) -> None:
        """All that waits in the frame pipe; beyond what an answer may have it is read and dropped."""
        while True:
            try:
                piece = os.read(self._frames, 1 << 16)
            except BlockingIOError:
                return
            if not piece:
                return
            if len(frame) <= _MAX_FRAME:
                frame += piece

    def _send(self, data: bytes) -> None:
        try:
            self._jobs.write(data)
        except OSError as error:
            raise SandboxFault(f"the harness takes no more jobs: {error}") from error

    def _receive(self, count: int) -> bytes:
        data = bytearray()
        deadline = time.monotonic() + self._wall
        while len(data) < count:
            ready, _, _ = select.select([self._status], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._status, count - len(data)) if ready else b""
            if not piece:
                raise SandboxFault("the harness did not start")
            data += piece
        return bytes(data)


def _compare(frame: bytes, nonce: bytes, returns: RustType, expected: object) -> CaseResult:
    """The verdict on one frame: nonce, length, value, and nothing else."""
    if frame[:16] != nonce or len(frame) < _HEAD or len(frame) != _HEAD + int.from_bytes(frame[16:_HEAD], "little"):
        return CaseResult("failed", "no answer")
    try:
        got = decode(returns, frame[_HEAD:])
    except BadFrame as error:
        return CaseResult("failed", str(error)[:_SHOWN])
    return CaseResult("passed" if same(returns, expected, got) else "failed", repr(got)[:_SHOWN])


def _outcome(cases: Sequence[CaseResult], total: int) -> Outcome:
    """The worst thing that happened; PASSED only if every case was asked and passed."""
    statuses = [case.status for case in cases]
    if "timeout" in statuses:
        return Outcome.TEST_TIMEOUT
    if "crashed" in statuses:
        return Outcome.TEST_CRASH
    if "flooded" in statuses:
        return Outcome.OUTPUT_LIMIT
    passed = len(cases) == total and all(status == "passed" for status in statuses)
    return Outcome.PASSED if passed else Outcome.TEST_FAILED


def _block(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data

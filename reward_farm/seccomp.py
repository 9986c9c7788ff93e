"""Assembles the system-call filters as BPF bytes, one for each kind of program: compiler, test server, candidate.

Each is a list of what is allowed. Pure: installs nothing. The launcher installs the compiler's and the server's; the
server adds the candidate's in each child, after every limit is set.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable
from functools import cache

from reward_farm.errors import SandboxUnavailable
from reward_farm.syscalls import NUMBERS

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_COMPUTING = """
    read write writev close lseek fstat munmap mremap brk madvise
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack futex sched_yield sched_getaffinity set_robust_list rseq
    gettid getpid getrandom clock_gettime clock_getres clock_nanosleep nanosleep restart_syscall
    exit exit_group membarrier
"""
"""Memory, threads, time, and descriptors that are open already."""
_LOADING = """
    execve mmap mprotect arch_prctl set_tid_address getrlimit open openat access faccessat faccessat2
    stat lstat newfstatat statx readlink readlinkat pread64 poll ppoll dup dup2 dup3 fcntl getcwd uname
    getuid geteuid getgid getegid
"""
"""What starts a program and loads libraries. Which files: that is for file system and Landlock to say."""
_COMPILING = """
    getdents64 statfs fstatfs mkdir mkdirat rename renameat renameat2 unlink unlinkat rmdir link linkat
    ftruncate fallocate pwrite64 readv copy_file_range sendfile fsync fdatasync chmod fchmod fchmodat umask
    pipe pipe2 eventfd2 wait4 waitid tgkill getppid getrusage sysinfo mincore
"""
"""Beyond those: rustc's and rust-lld's work in their output folder, and with each other."""
_SERVING = " wait4 kill setrlimit setitimer rt_sigtimedwait tgkill"
"""Beyond those: how the server limits, ends and waits for its children."""

_EPERM, _ENOSYS = 1, 38
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_REFUSE = _ERRNO | _EPERM
_UNKNOWN = _ERRNO | _ENOSYS  # then a C library falls back on an older call, which a filter knows
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_X32_BIT = 0x40000000  # the x32 numbers alias every call under other numbers
_CLONE_VFORK, _CLONE_THREAD = 0x00004000, 0x00010000
_CLONE_NEW = 0x7E020000  # every CLONE_NEW* namespace flag
_PROT_EXEC = 4
_SELF = 0
_NAME_THREAD, _NOT_DUMPABLE, _SECCOMP, _NO_NEW_PRIVILEGES = 15, 4, 22, 38
_ASK_TERMINAL, _ASK_SIZE, _NON_BLOCKING, _CLOSE_ON_EXEC = 0x5401, 0x5413, 0x5421, 0x5451


class _Program:
    """BPF instructions in order; each test jumps over the return that follows it."""

    def __init__(self) -> None:
        machine = platform.machine()
        if machine not in _ARCHITECTURES:
            raise SandboxUnavailable(
                "seccomp", f"no system-call table for {machine}", "run the farm on x86_64 or aarch64"
            )
        audit, self._column = _ARCHITECTURES[machine]
        self._code = bytearray()
        self._emit(_LOAD, 4)
        self._emit(_EQUAL, audit, 1, 0)
        self._emit(_RETURN, _KILL)
        self._emit(_LOAD, 0)
        if machine == "x86_64":
            self._emit(_AT_LEAST, _X32_BIT, 0, 1)
            self._emit(_RETURN, _REFUSE)

    def answer(self, calls: str, action: int) -> None:
        """`action` for each of these calls that this architecture has."""
        for call in calls.split():
            number = NUMBERS[call][self._column]
            if number is not None:
                self._emit(_EQUAL, number, 0, 1)
                self._emit(_RETURN, action)

    def answer_by_flags(self, call: str, argument: int, bits: int, some: int, none: int) -> None:
        """`some` for this call if any of `bits` is set in its argument, else `none`."""
        self._test_argument(call, argument, [(_ANY_BIT, bits)], some, none)

    def answer_by_value(self, call: str, argument: int, values: Iterable[int]) -> None:
        """Allows this call with one of these values of its argument."""
        self._test_argument(call, argument, [(_EQUAL, value) for value in values], _ALLOW, _UNKNOWN)

    def end(self, action: int) -> bytes:
        """The program, with `action` for every other call."""
        self._emit(_RETURN, action)
        return bytes(self._code)

    def _test_argument(self, call: str, argument: int, tests: list[tuple[int, int]], some: int, none: int) -> None:
        number = NUMBERS[call][self._column]
        if number is None:
            return
        self._emit(_EQUAL, number, 0, 2 + 2 * len(tests))
        self._emit(_LOAD, 16 + 8 * argument)
        for test, value in tests:
            self._emit(test, value, 0, 1)
            self._emit(_RETURN, some)
        self._emit(_RETURN, none)

    def _emit(self, code: int, k: int, if_true: int = 0, if_false: int = 0) -> None:
        self._code += struct.pack("<HBBI", code, if_true, if_false, k)


@cache
def compiler_filter() -> bytes:
    """For rustc, clippy-driver and rust-lld: files, threads, and one program started at a time. No socket, no fork."""
    program = _Program()
    program.answer(_COMPUTING + _LOADING + _COMPILING, _ALLOW)
    program.answer_by_flags("clone", 0, _CLONE_THREAD | _CLONE_VFORK, _ALLOW, _REFUSE)
    program.answer_by_value("prlimit64", 0, (_SELF,))
    program.answer_by_value("prctl", 0, (_NAME_THREAD,))
    program.answer_by_value("ioctl", 1, (_ASK_TERMINAL, _ASK_SIZE, _NON_BLOCKING, _CLOSE_ON_EXEC))
    return program.end(_UNKNOWN)


@cache
def server_filter() -> bytes:
    """For the test server: loading the batch, and children with limits."""
    program = _Program()
    program.answer(_COMPUTING + _LOADING + _SERVING, _ALLOW)
    program.answer_by_flags("clone", 0, _CLONE_NEW, _REFUSE, _ALLOW)
    program.answer_by_value("prlimit64", 0, (_SELF,))
    program.answer_by_value("prctl", 0, (_NAME_THREAD, _NOT_DUMPABLE, _SECCOMP, _NO_NEW_PRIVILEGES))
    return program.end(_UNKNOWN)


@cache
def candidate_filter() -> bytes:
    """For a candidate's call: computing, memory, threads and writing to what is open. No open, exec, fork or kill."""
    program = _Program()
    program.answer(_COMPUTING, _ALLOW)
    program.answer("clone3", _UNKNOWN)  # then glibc falls back to clone, whose flags a filter can read
    program.answer_by_flags("clone", 0, _CLONE_THREAD, _ALLOW, _REFUSE)
    for call in ("mmap", "mprotect"):
        program.answer_by_flags(call, 2, _PROT_EXEC, _REFUSE, _ALLOW)
    return program.end(_REFUSE)

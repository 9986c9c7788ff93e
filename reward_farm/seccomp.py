"""Assembles the two system-call filters as BPF bytes: one for the whole jail, one for a candidate's process.

Pure: installs nothing. The jail's filter goes to `bwrap --seccomp`, the candidate's to the harness, which installs it
in the child after every limit is set.
"""

from __future__ import annotations

import platform
import struct

from reward_farm.errors import SandboxUnavailable

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Numbers of each call on x86_64 and on aarch64.
_ALLOWED: dict[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "writev": (20, 66), "close": (3, 57), "lseek": (8, 62), "fstat": (5, 80),
    "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "set_robust_list": (273, 99),
    "rseq": (334, 293), "gettid": (186, 178), "getpid": (39, 172), "getrandom": (318, 278),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94), "membarrier": (324, 283),
}  # fmt: skip
_MMAP = {"mmap": (9, 222), "mprotect": (10, 226)}  # allowed without PROT_EXEC
_CLONE = (56, 220)  # allowed for threads
_CLONE3 = 435  # "not implemented", so that glibc falls back to clone, whose flags a filter can read

_DENIED: dict[str, tuple[int, int]] = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "fsopen": (430, 430), "fsmount": (432, 432), "move_mount": (429, 429), "open_tree": (428, 428),
    "mount_setattr": (442, 442), "personality": (135, 92), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "syslog": (103, 116),
    "quotactl": (179, 60), "acct": (163, 89), "mknodat": (259, 33), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "fanotify_init": (300, 262), "pidfd_getfd": (438, 438),
    "memfd_create": (319, 279), "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
}  # fmt: skip

_EPERM, _ENOSYS = 1, 38
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_X32_BIT = 0x40000000  # the x32 numbers alias every call under other numbers
_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020000  # every CLONE_NEW* namespace flag
_PROT_EXEC = 4


class _Program:
    """BPF instructions in order; each test jumps over the return that follows it."""

    def __init__(self) -> None:
        machine = platform.machine()
        if machine not in _ARCHITECTURES:
            raise SandboxUnavailable(
                "seccomp", f"no system-call table for {machine}", "run the farm on x86_64 or aarch64"
            )
        audit, self.column = _ARCHITECTURES[machine]
        self.code = bytearray()
        self.emit(_LOAD, 4)
        self.emit(_EQUAL, audit, 1, 0)
        self.emit(_RETURN, _KILL)
        self.emit(_LOAD, 0)
        if machine == "x86_64":
            self.emit(_AT_LEAST, _X32_BIT, 0, 1)
            self.emit(_RETURN, _ERRNO | _EPERM)

    def emit(self, code: int, k: int, if_true: int = 0, if_false: int = 0) -> None:
        self.code += struct.pack("<HBBI", code, if_true, if_false, k)

    def answer(self, pair: tuple[int, int], action: int) -> None:
        """`action` for this call."""
        self.emit(_EQUAL, pair[self.column], 0, 1)
        self.emit(_RETURN, action)

    def answer_by_flags(self, pair: tuple[int, int], argument: int, bits: int, some: int, none: int) -> None:
        """`some` for this call if any of `bits` is set in its argument, else `none`."""
        self.emit(_EQUAL, pair[self.column], 0, 4)
        self.emit(_LOAD, 16 + 8 * argument)
        self.emit(_ANY_BIT, bits, 0, 1)
        self.emit(_RETURN, some)
        self.emit(_RETURN, none)

    def end(self, action: int) -> bytes:
        self.emit(_RETURN, action)
        return bytes(self.code)


def jail_filter() -> bytes:
    """Refuses what neither rustc, rust-lld nor the harness needs: network, tracing, namespaces, keys, io_uring, bpf."""
    program = _Program()
    for pair in _DENIED.values():
        program.answer(pair, _ERRNO | _EPERM)
    program.answer((_CLONE3, _CLONE3), _ERRNO | _ENOSYS)
    program.answer_by_flags(_CLONE, 0, _CLONE_NEW, _ERRNO | _EPERM, _ALLOW)
    return program.end(_ALLOW)


def candidate_filter() -> bytes:
    """Allows computing, memory, threads and writing to what is open: no open, exec, fork, kill or socket."""
    program = _Program()
    for pair in _ALLOWED.values():
        program.answer(pair, _ALLOW)
    program.answer((_CLONE3, _CLONE3), _ERRNO | _ENOSYS)
    program.answer_by_flags(_CLONE, 0, _CLONE_THREAD, _ALLOW, _ERRNO | _EPERM)
    for pair in _MMAP.values():
        program.answer_by_flags(pair, 2, _PROT_EXEC, _ERRNO | _EPERM, _ALLOW)
    return program.end(_ERRNO | _EPERM)

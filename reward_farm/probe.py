"""Proves the sandbox before anything is judged: a canary tries what each layer must refuse.

Never falls through: a layer that does not hold stops the program with its name and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from reward_farm.compiler import Compiler, Unit
from reward_farm.errors import SandboxFault, SandboxUnavailable
from reward_farm.exam import prepare
from reward_farm.examiner import Examiner
from reward_farm.problem import Case, Problem
from reward_farm.sandbox import LAYERS, Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import Toolchain, find_toolchain
from reward_farm.verdict import Outcome

_ATTEMPTS = {
    "empty-filesystem": 'std::fs::read("/etc/passwd").is_ok() || std::fs::read_dir("/proc").is_ok()',
    "read-only-filesystem": 'std::fs::write("/job/written", "x").is_ok()',
    "network": 'std::net::TcpListener::bind("127.0.0.1:0").is_ok()',
    "no-processes": 'std::process::Command::new("/server").spawn().is_ok()',
    "no-environment": 'std::env::vars().any(|(name, _)| name != "LD_LIBRARY_PATH" && name != "PWD")',
}
"""What must fail in a candidate's process, by the layer that refuses it."""

_CANARY = (
    "pub fn canary(attempt: usize) -> bool {\n    match attempt {\n"
    + "".join(f"        {number} => {code},\n" for number, code in enumerate(_ATTEMPTS.values()))
    + "        _ => true,\n    }\n}\n"
)
_NAMESPACES = (
    "allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, and in AppArmor systems "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`), or run where they are allowed"
)


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """The layers that were proved, and the compiler that will judge."""

    layers: tuple[str, ...]
    rustc: str


def probe(settings: FarmSettings, toolchain: Toolchain | None = None) -> IsolationReport:
    """Compiles and runs the canary in a jail. Takes about half a second.

    Raises:
        RustcMissing: there is no usable rustc.
        SandboxUnavailable: bubblewrap is missing, no jail can be made, or a layer let the canary through.
    """
    toolchain = toolchain or find_toolchain(settings)
    sandbox = Sandbox(toolchain, settings)
    # A last case that must answer true shows that the canary ran at all.
    cases = tuple(Case((number,), number == len(_ATTEMPTS)) for number in range(len(_ATTEMPTS) + 1))
    problem = Problem("canary", ("usize",), "bool", cases)
    with Compiler(sandbox) as compiler:
        fate = compiler.compile([Unit(0, _CANARY, problem)])[0]
        if fate.fault is not None:
            raise SandboxUnavailable("namespaces", fate.fault, _NAMESPACES)
        if fate.outcome is not None:
            said = "; ".join(diagnostic.message for diagnostic in fate.diagnostics[:3])
            raise SandboxUnavailable("compiler", f"the canary does not compile: {said}", "run `ferrotype doctor`")
        try:
            examined = Examiner(sandbox).examine(compiler.libraries[0], {0: prepare(problem)})[0]
        except SandboxFault as fault:
            raise SandboxUnavailable("namespaces", str(fault), _NAMESPACES) from fault
    for layer, case in zip((*_ATTEMPTS, "oracle-outside"), examined.cases, strict=False):
        if case.status != "passed":
            raise SandboxUnavailable(layer, f"a canary got through ({case.got})", "do not train on this machine")
    if examined.outcome is not Outcome.PASSED:
        raise SandboxUnavailable("oracle-outside", f"the canary ended as {examined.outcome}", "run `ferrotype doctor`")
    return IsolationReport(LAYERS, toolchain.version)

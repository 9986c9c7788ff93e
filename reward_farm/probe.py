"""Proves the sandbox before anything is judged: a canary tries what each layer must refuse.

Never falls through: a layer that does not hold stops the program with its name and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from reward_farm.canary import prove
from reward_farm.compiler import Compiler, Unit
from reward_farm.errors import SandboxFault, SandboxUnavailable
from reward_farm.exam import prepare
from reward_farm.examiner import Examiner
from reward_farm.layers import ORACLE, Layer
from reward_farm.problem import Case, Problem
from reward_farm.sandbox import Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import Toolchain, find_toolchain
from reward_farm.verdict import Outcome

_ATTEMPTS = {
    Layer.FILESYSTEM: 'std::fs::read("/etc/passwd").is_ok() || std::fs::read_dir("/proc").is_ok()',
    "read-only-filesystem": 'std::fs::write("/job/written", "x").is_ok()',
    "no-network": 'std::net::TcpListener::bind("127.0.0.1:0").is_ok()',
    "no-processes": 'std::process::Command::new("/server").spawn().is_ok()',
    Layer.ENVIRONMENT: 'std::env::vars().any(|(name, _)| name != "LD_LIBRARY_PATH" && name != "PWD")',
}
"""What must fail in a candidate's process, by the layer that refuses it."""

_CANARY = (
    "pub fn canary(attempt: usize) -> bool {\n    match attempt {\n"
    + "".join(f"        {number} => {code},\n" for number, code in enumerate(_ATTEMPTS.values()))
    + "        _ => true,\n    }\n}\n"
)


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """The layers that were proved, and the compiler that will judge."""

    layers: tuple[str, ...]
    rustc: str


def probe(settings: FarmSettings, toolchain: Toolchain | None = None) -> IsolationReport:
    """Proves each layer by itself, then all with a candidate that is compiled and run. Takes about half a second.

    Raises:
        RustcMissing: there is no usable rustc.
        SandboxUnavailable: a layer can't be made, or let a canary through.
    """
    toolchain = toolchain or find_toolchain(settings)
    sandbox = Sandbox(toolchain, settings)
    prove(sandbox)
    # A last case that must answer true shows that the canary ran at all.
    cases = tuple(Case((number,), number == len(_ATTEMPTS)) for number in range(len(_ATTEMPTS) + 1))
    problem = Problem("canary", ("usize",), "bool", cases)
    with Compiler(sandbox) as compiler:
        fate = compiler.compile([Unit(0, _CANARY, problem)])[0]
        if fate.fault is not None:
            raise SandboxUnavailable("compiler", fate.fault, "run `ferrotype doctor`")
        if fate.outcome is not None:
            said = "; ".join(diagnostic.message for diagnostic in fate.diagnostics[:3])
            raise SandboxUnavailable("compiler", f"the canary does not compile: {said}", "run `ferrotype doctor`")
        try:
            examined = Examiner(sandbox).examine(compiler.libraries[0], {0: prepare(problem)})[0]
        except SandboxFault as fault:
            raise SandboxUnavailable("test server", str(fault), "run `ferrotype doctor`") from fault
    for layer, case in zip((*_ATTEMPTS, ORACLE), examined.cases, strict=False):
        if case.status != "passed":
            raise SandboxUnavailable(layer, f"a canary got through ({case.got})", "do not train on this machine")
    if examined.outcome is not Outcome.PASSED:
        raise SandboxUnavailable(ORACLE, f"the canary ended as {examined.outcome}", "run `ferrotype doctor`")
    return IsolationReport(sandbox.layers, toolchain.version)

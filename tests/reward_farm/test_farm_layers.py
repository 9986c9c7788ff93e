"""What each layer of the sandbox is for: an attack that it refuses gets through when it alone is switched off.

Layers overlap on purpose. Where one attack meets several, the others are off in both runs, and the table says which.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from canaries import Canaries
from hostile import ATTACKS
from hostile.attack import HONEST, SQUARE
from leftovers import left_by

from reward_farm import canary
from reward_farm.canary import Bait, attacks, prove, released
from reward_farm.cgroup import Cgroup, CgroupHome, _version_1, _version_2, find_cgroups
from reward_farm.compiler import CONTROL, Compiler
from reward_farm.errors import SandboxFault, SandboxUnavailable
from reward_farm.judge import Judge
from reward_farm.layers import BUBBLEWRAP, PROFILES, Layer
from reward_farm.problem import Submission
from reward_farm.sandbox import Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import Toolchain, find_toolchain
from reward_farm.verdict import Outcome, Scored

L = Layer
ABLATIONS: dict[str, tuple[str, Layer, str, frozenset[Layer]]] = {
    # A profile, the layer, the attack, and the layers that refuse it too.
    "a file of the machine": ("standard", L.FILESYSTEM, "read", frozenset({L.LANDLOCK})),
    "the sources, to write": ("standard", L.FILESYSTEM, "write", frozenset({L.LANDLOCK})),
    "the list of processes": ("standard", L.FILESYSTEM, "list", frozenset({L.LANDLOCK})),
    "a signal to the farm": ("standard", L.PIDS, "signal", frozenset({L.LANDLOCK, L.SECCOMP})),
    "a daemon": ("standard", L.PIDS, "linger", frozenset({L.SECCOMP, L.SUPERVISOR})),
    "a port of the machine": ("standard", L.NETWORK, "tcp", frozenset({L.LANDLOCK, L.SECCOMP})),
    "an abstract socket": ("standard", L.NETWORK, "abstract", frozenset({L.LANDLOCK, L.SECCOMP})),
    "shared memory": ("standard", L.IPC, "shared", frozenset({L.SECCOMP})),
    "the host's name": ("standard", L.CAPABILITIES, "host-name", frozenset({L.SECCOMP})),
    "another user's rights": ("pod", L.PRIVILEGES, "set-user", frozenset({L.LANDLOCK, L.SECCOMP})),
    "a daemon, where there is no namespace": ("pod", L.SUPERVISOR, "linger", frozenset({L.SECCOMP})),
    "many processes": ("standard", L.CGROUP, "processes", frozenset({L.SECCOMP})),
    "much memory": ("standard", L.CGROUP, "memory", frozenset({L.RLIMITS})),
    "much address space": ("standard", L.RLIMITS, "memory", frozenset({L.CGROUP})),
    "a large file": ("standard", L.RLIMITS, "grow", frozenset()),
    "a program that is there to be read": ("standard", L.LANDLOCK, "run", frozenset()),
    "a file of the machine, in a pod": ("pod", L.LANDLOCK, "read", frozenset()),
    "the sources, in a pod": ("pod", L.LANDLOCK, "write", frozenset()),
    "a port, in a pod": ("pod", L.LANDLOCK, "tcp", frozenset({L.SECCOMP})),
    "a signal, in a pod": ("pod", L.LANDLOCK, "signal", frozenset({L.SECCOMP})),
    "a key of the machine": ("standard", L.SECCOMP, "key", frozenset()),
    "a namespace of its own": ("standard", L.SECCOMP, "user-namespace", frozenset()),
    "a port, where nothing else is in the way": ("pod", L.SECCOMP, "tcp", frozenset({L.LANDLOCK})),
    "the farm's environment": ("standard", L.ENVIRONMENT, "environment", frozenset()),
    "the farm's descriptors": ("standard", L.DESCRIPTORS, "descriptor", frozenset()),
}


@pytest.fixture(scope="module")
def toolchain(settings: FarmSettings) -> Toolchain:
    return find_toolchain(settings)


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    with Canaries(tmp_path_factory.mktemp("canaries")) as set_out:
        yield set_out


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Bait]:
    with Bait(tmp_path) as set_out:
        yield set_out


def sandbox(toolchain: Toolchain, settings: FarmSettings, isolation: str) -> Sandbox:
    return Sandbox(toolchain, settings.model_copy(update={"isolation": isolation}))


@pytest.fixture(params=["standard", "pod"])
def profile(request: pytest.FixtureRequest, toolchain: Toolchain, settings: FarmSettings) -> Sandbox:
    return sandbox(toolchain, settings, request.param)


def argument(attack: str, bait: Bait, toolchain: Toolchain) -> str:
    """Of an attack, as `canary.py` has it, or for those that need more than every machine has."""
    if attack == "key":
        return "ferrotype-canary"
    if attack == "set-user":
        copy = bait.workspace / "set-user"
        copy.write_bytes((toolchain.harness / "rf_canary").read_bytes())
        os.chown(copy, 65534, 65534)
        copy.chmod(0o4755)
        return str(copy)
    return {name: value for tries in attacks(bait, 7).values() for name, value in tries}[attack]


@pytest.mark.parametrize("name", ABLATIONS)
def test_each_layer_refuses_what_gets_through_without_it(
    name: str, toolchain: Toolchain, settings: FarmSettings, bait: Bait, canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    isolation, layer, attack, overlapping = ABLATIONS[name]
    made = sandbox(toolchain, settings, isolation)
    if layer not in made.enabled:
        pytest.skip("this machine gives us no cgroups")
    if (attack == "key" and canaries.key <= 0) or (attack == "set-user" and os.getuid() != 0):
        pytest.skip("this machine gives us no such thing to attack")
    if made.landlock < 6 and layer is Layer.LANDLOCK and attack in ("tcp", "signal"):
        pytest.skip("this kernel's Landlock knows neither ports nor signals")
    monkeypatch.setattr(canary, "_WALL_SECONDS", 1.0)
    tries = ((attack, argument(attack, bait, toolchain)),)
    before = made.enabled - overlapping
    assert released(made, bait, tries, before) is None, "with the layer it must be refused"
    assert canaries.touched() == set()
    assert released(made, bait, tries, before - {layer}) == tries[0], "without it, it must get through"


def test_every_layer_of_every_profile_is_switched_off_once() -> None:
    shown = {layer for _, layer, _, _ in ABLATIONS.values()}
    assert shown == set().union(*PROFILES.values()) == set(Layer)


@pytest.mark.parametrize("layer", sorted(PROFILES["strict"]))
def test_a_layer_that_does_not_hold_stops_the_program(
    layer: Layer, toolchain: Toolchain, settings: FarmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kernel or a bubblewrap would that takes a layer's words and does nothing."""
    made = sandbox(toolchain, settings, "standard")
    if layer not in made.enabled:
        pytest.skip("this machine gives us no cgroups")
    run = Sandbox.run
    monkeypatch.setattr(canary, "_WALL_SECONDS", 1.0)
    monkeypatch.setattr(
        Sandbox,
        "run",
        lambda self, inmate, wall, layers, left_open: run(self, inmate, wall, layers - {layer}, left_open),
    )
    with pytest.raises(SandboxUnavailable, match="a canary got through") as caught:
        prove(made)
    assert caught.value.layer == layer


def test_a_step_that_fails_names_its_layer_and_errno(
    toolchain: Toolchain, settings: FarmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reward_farm.sandbox.compiler_filter", lambda: b"no filter")
    with pytest.raises(SandboxUnavailable, match=r"seccomp.*CONFIG_SECCOMP_FILTER") as caught:
        prove(sandbox(toolchain, settings, "standard"))
    assert (caught.value.layer, caught.value.errno) == (Layer.SECCOMP, 22)


def test_the_proof_takes_no_time(profile: Sandbox) -> None:
    fastest = min(_seconds(lambda: prove(profile)) for _ in range(3))
    assert fastest < 1.0


ALONE = "mod inner { pub fn square(x: i64) -> i64 { x * x } }\npub fn solve(x: i64) -> i64 { crate::inner::square(x) }"
POD = {
    "forging: exit under another name", "forging: exit from a thread", "siblings: the pipe of answers",
    "siblings: the linked batch", "machine: files under another name", "machine: the list of processes",
    "machine: a file by a macro's macro", "machine: a temporary file", "machine: the network under another name",
    "machine: a socket without a name", "machine: a process", "machine: secrets of the environment",
    "compiling: a thousand errors", "resources: spins", "resources: takes all memory",
}  # fmt: skip


def test_a_pod_judges_without_namespaces(settings: FarmSettings, canaries: Canaries) -> None:
    pod = settings.model_copy(update={"isolation": "pod", "bwrap": "/nowhere/bwrap", "test_cpu_seconds": 0.1})
    hostile = {name: ATTACKS[name] for name in POD}
    submissions = [Submission(name, attack.source, attack.problem) for name, attack in hostile.items()]
    submissions += [Submission(f"honest {n}", f"{HONEST} // {n}", SQUARE) for n in range(4)]
    submissions += [Submission("honest, alone", ALONE, SQUARE)]
    with Judge(pod) as judge:
        verdicts = {verdict.id: verdict for verdict in judge.judge(submissions)}
    for name, verdict in verdicts.items():
        assert isinstance(verdict, Scored), verdict
        assert verdict.outcome in (hostile[name].ends if name in hostile else (Outcome.PASSED,)), name
        assert not {str(layer) for layer in BUBBLEWRAP} & set(verdict.isolation)
        assert {"landlock", "seccomp", "supervisor"} <= {layer.split(":")[0] for layer in verdict.isolation}
    assert canaries.touched() == set()


def test_a_pod_whose_kernel_has_no_landlock_takes_namespaces_for_it(
    settings: FarmSettings, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gVisor's kernel is such a one."""

    def refused() -> int:
        raise SandboxUnavailable(Layer.LANDLOCK, "Function not implemented", "use another kernel", 38)

    monkeypatch.setattr("reward_farm.sandbox.landlock_version", refused)
    pod = settings.model_copy(update={"isolation": "pod", "test_cpu_seconds": 0.1})
    hostile = {name: ATTACKS[name] for name in POD}
    submissions = [Submission(name, attack.source, attack.problem) for name, attack in hostile.items()]
    submissions.append(Submission("honest", HONEST, SQUARE))
    with Judge(pod) as judge:
        verdicts = {verdict.id: verdict for verdict in judge.judge(submissions)}
    for name, verdict in verdicts.items():
        assert isinstance(verdict, Scored), verdict
        assert verdict.outcome in (hostile[name].ends if name in hostile else (Outcome.PASSED,)), name
        assert {str(layer) for layer in BUBBLEWRAP} <= set(verdict.isolation)
        assert not any(layer.startswith("landlock") for layer in verdict.isolation)
    assert canaries.touched() == set()
    with pytest.raises(SandboxUnavailable, match="landlock"):
        Judge(settings)


def test_strict_demands_a_cgroup_and_standard_says_that_it_has_none(
    toolchain: Toolchain, settings: FarmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> CgroupHome:
        raise SandboxUnavailable(Layer.CGROUP, "Permission denied", "run the farm as root", 13)

    monkeypatch.setattr("reward_farm.sandbox.find_cgroups", refused)
    with pytest.raises(SandboxUnavailable) as caught:
        sandbox(toolchain, settings, "strict")
    assert (caught.value.layer, caught.value.errno) == (Layer.CGROUP, 13)
    assert not any(layer.startswith("cgroup") for layer in sandbox(toolchain, settings, "standard").layers)


@pytest.mark.parametrize("without", [Layer.RLIMITS, Layer.CGROUP])
def test_either_limit_of_memory_is_positive_evidence(
    without: Layer, toolchain: Toolchain, settings: FarmSettings, tmp_path: Path
) -> None:
    """Whichever limit it meets: the cgroup's, which the kernel reports, or the address space's, which rustc does."""
    made = Sandbox(toolchain, settings.model_copy(update={"compile_memory_mb": 700}))
    if Layer.CGROUP not in made.enabled:
        pytest.skip("this machine gives us no cgroups")
    made.enabled -= {without}
    for folder in ("src", "out"):
        (tmp_path / folder).mkdir()
    greedy = "macro_rules! a { ($($t:tt)*) => { a!($($t)* $($t)*) } }\nfn f() { a!(x x) }"
    (tmp_path / "src" / "greedy.rs").write_text(greedy)
    (tmp_path / "src" / "modest.rs").write_text("pub fn f() {}")
    check = ["--crate-type", "lib", "--emit", "metadata", "--error-format", "json"]
    finished = made.compile(tmp_path, [*check, "/src/greedy.rs"])
    assert finished.out_of_memory and finished.exit_code in (128 + 9, 128 + 6)
    modest = made.compile(tmp_path, [*check, "/src/modest.rs"])
    assert modest.exit_code == 0 and not modest.out_of_memory
    if without is Layer.RLIMITS:
        assert finished.peak_memory_mb == pytest.approx(700, abs=1)
        assert modest.peak_memory_mb is not None and 5 < modest.peak_memory_mb < 200
        assert modest.cpu_seconds is not None and 0 < modest.cpu_seconds < 5


# ---- Nothing is left.


def left() -> dict[str, object]:
    """What a jail could leave behind on this machine, by kind."""
    try:
        home = find_cgroups()
        groups = {str(path) for parent in home.parents.values() for path in parent.glob(f"*-{os.getpid()}-*")}
    except SandboxUnavailable:
        groups = set()
    children = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return {
        "processes": {line for line in children.stdout.splitlines() if not line.endswith(" ps")},
        "harness": _running("rf_server") | _running("/launch"),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "cgroups": groups,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


def _running(word: str) -> set[int]:
    """Processes below this one. Other farms may be at work on this machine, other tests' too."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if word in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def _seconds(what: Callable[[], None]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def test_jails_ended_in_the_middle_leave_nothing(profile: Sandbox, tmp_path: Path) -> None:
    with Compiler(profile) as compiler:
        assert compiler.compile([replace(CONTROL, source="pub fn control() -> bool { loop {} }")])[0].outcome is None
        folder = compiler.libraries[0].folder
        before = left()
        for _ in range(5):
            with profile.serve(folder) as jail:
                assert jail.process.poll() is None
        for name in ("src", "out"):
            (tmp_path / name).mkdir()
        (tmp_path / "src" / "slow.rs").write_text(
            "pub const X: u64 = { let mut n = 0u64; while n < 1 << 40 { n += 1 } n };"
        )
        inmate = profile.compiling(
            tmp_path, ["/rust/bin/rustc", "--sysroot", "/rust", "--emit=metadata", "/src/slow.rs"]
        )
        assert profile.run(inmate, wall_seconds=0.2).late
        assert left() == before


def test_a_jail_that_is_ended_while_it_starts_leaves_no_process(settings: FarmSettings, tmp_path: Path) -> None:
    sandbox = Sandbox(find_toolchain(settings), settings)
    (out := tmp_path / "out").mkdir()
    for moment in range(100):
        with sandbox.serve(out):
            time.sleep(moment * 6e-5)
    out.rmdir()
    deadline = time.monotonic() + 10
    while left_by(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left_by(tmp_path) == []


@pytest.mark.parametrize("isolation", ["standard", "pod"])
def test_a_dead_farms_jails_end_and_its_groups_are_swept(
    isolation: str, settings: FarmSettings, tmp_path: Path
) -> None:
    """SIGKILL leaves the farm no time to clean up: its processes end by themselves, its groups with the next farm."""
    text = settings.model_copy(update={"isolation": isolation, "scratch_dir": tmp_path}).model_dump_json()
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom reward_farm.settings import FarmSettings\n"
        "from reward_farm.sandbox import Sandbox\nfrom reward_farm.toolchain import find_toolchain\n"
        f"settings = FarmSettings.model_validate_json({text!r})\n"
        "jail = Sandbox(find_toolchain(settings), settings).serve(Path(sys.argv[1]))\n"
        "print(jail.process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as farm:
        assert farm.stdout is not None
        jailed = int(farm.stdout.readline())
        inmates = psutil.Process(farm.pid).children(recursive=True)
        assert jailed in {process.pid for process in inmates}
        farm.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(inmates, timeout=10)
    assert not alive
    try:
        home = find_cgroups()
    except SandboxUnavailable:
        return
    assert not [path for parent in home.parents.values() for path in parent.glob(f"*-{farm.pid}-*")]


# ---- Groups of either version, as the kernel's files describe them.

MOUNTS_1 = """
24 1 0:22 / / rw - ext4 /dev/vda rw
31 24 0:27 / {root}/memory rw,relatime - cgroup cgroup rw,memory
32 24 0:28 /docker/abc {root}/pids rw,relatime - cgroup cgroup rw,pids
33 24 0:29 / {root}/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
""".strip()
OWN_1 = "4:memory:/worker\n3:pids:/docker/abc/worker\n2:cpu,cpuacct:/\n0::/\n"


def test_groups_of_version_1_lie_below_ones_own() -> None:
    (home,) = _version_1(MOUNTS_1.format(root="/c"), OWN_1)
    assert {name: str(path) for name, path in home.parents.items()} == {
        "memory": "/c/memory/worker", "pids": "/c/pids/worker", "cpuacct": "/c/cpu,cpuacct"
    }  # fmt: skip
    assert _version_1(MOUNTS_1.format(root="/c"), "4:memory:/worker\n") == []


def test_groups_of_version_2_lie_below_one_that_hands_on_both_controllers(tmp_path: Path) -> None:
    own = tmp_path / "user.slice" / "app.slice" / "farm.scope"
    own.mkdir(parents=True)
    mounts = f"30 24 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw"
    for folder, handed_on in ((own, ""), (own.parent, "cpu memory pids"), (own.parents[1], "cpu"), (tmp_path, "cpu")):
        (folder / "cgroup.subtree_control").write_text(handed_on)
    (home,) = _version_2(mounts, "0::/user.slice/app.slice/farm.scope\n")
    assert home.version == 2 and set(home.parents.values()) == {own.parent}


def test_what_a_group_of_version_2_used_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n")
    (tmp_path / "memory.peak").write_text(f"{64 << 20}\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n")
    group = Cgroup(2, dict.fromkeys(("memory", "pids"), tmp_path))
    assert (group.kills(), group.peak_memory_mb(), group.cpu_seconds()) == (1, 64.0, 1.5)
    assert [door.name for door in group.doors()] == ["cgroup.procs"]


def test_a_group_that_stays_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()  # no cgroup: its folder can't be removed while it holds another
    with pytest.raises(SandboxFault, match="can't be removed"):
        Cgroup(1, {"memory": tmp_path}).remove()

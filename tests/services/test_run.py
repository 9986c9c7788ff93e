"""The whole pipeline, for real, on the preset `ci`: killed in the middle, gone on with as a Ray job, and used."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from object_store import KEYS, object_store

from services.pipeline import PHASES
from services.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
MARK = "FERROTYPE_TEST_RUN"
KILLED = secrets.token_hex(8)
"""The mark of the run that is killed."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """That of everything here: a mark to know our processes by, and a token for our cluster."""
    return {
        **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        MARK: secrets.token_hex(8),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        **KEYS,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> RunFolder:
    """A run whose supervisor got SIGKILL in the middle of RL, after its first checkpoint."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "ci")
    command = [sys.executable, "-m", "services", "run", "--preset", "ci", "--run-dir", str(run.root)]
    marked = {**environment, MARK: KILLED}
    with (run.root.parent / "first.out").open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=marked, stdout=out, stderr=out, start_new_session=True)
        deadline = time.monotonic() + 400
        while not (run.rl / "rl-iter-1" / "manifest.json").exists():
            assert process.poll() is None, Path(out.name).read_text()
            assert time.monotonic() < deadline, Path(out.name).read_text()
            time.sleep(0.1)
        process.kill()
        process.wait()
    return run


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str]) -> Iterator[str]:
    """A Ray cluster started beforehand, as an operator would; the address of its dashboard."""
    # Not pytest's folder: the paths of Ray's sockets must be short.
    place = tempfile.mkdtemp(prefix="ft-", dir="/tmp")
    port, dashboard, agent, agent_grpc, client, metrics = _free_ports(6)
    command = [
        "ray", "start", "--head", "--block", f"--temp-dir={place}", "--node-ip-address=127.0.0.1", f"--port={port}",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
        f"--dashboard-agent-grpc-port={agent_grpc}", f"--ray-client-server-port={client}",
        f"--metrics-export-port={metrics}", "--num-cpus=2", f"--object-store-memory={256 << 20}",
    ]  # fmt: skip
    environment = {**environment, "FERROTYPE_TEST_METRICS": str(metrics)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait_for(lambda: _answers(dashboard), 60)
        yield address
    finally:
        process.terminate()
        process.wait(30)
        for left in _marked(environment[MARK]):
            os.kill(left, signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)


def test_sigkill_leaves_no_half_written_phase(killed_run: RunFolder) -> None:
    assert [p.name for p in PHASES if killed_run.finished(p.name)] == ["corpus", "base", "supervised"]
    assert not killed_run.gguf.exists()


@pytest.fixture(scope="module")
def storage(environment: dict[str, str]) -> Iterator[str]:
    """Where a copy of the run is kept."""
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    with object_store("runs") as ending:
        yield f"s3://runs/ci{ending}"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def stopped_job(killed_run: RunFolder, cluster: str, storage: str, environment: dict[str, str]) -> str:
    """What `ferrotype jobs follow` printed of the same run, gone on with by `ferrotype submit` and stopped in RL."""
    keep = f"cluster.storage={json.dumps(storage)}"
    where = ["--preset", "ci", "--run-dir", str(killed_run.root), "--set", keep, "--address", cluster]
    sent = _ferrotype(environment, "submit", *where, "--detach")
    assert sent.returncode == 0, sent.stderr
    job = sent.stdout.split()[1]

    def learning() -> bool:
        newest = max(killed_run.logs.iterdir()).read_text()
        return "the run is kept there" in newest and "rl: started" in newest

    _wait_for(learning, 120)
    stopped = _ferrotype(environment, "jobs", "stop", job, "--address", cluster)
    assert stopped.stdout.endswith(f"{job} stopped\n"), stopped.stdout + stopped.stderr
    followed = _ferrotype(environment, "jobs", "follow", job, "--address", cluster)
    assert followed.returncode == 1
    assert f"{job} stopped" in followed.stderr
    listed = _ferrotype(environment, "jobs", "list", "--address", cluster)
    assert "stopped" in listed.stdout
    return followed.stdout


def test_a_stopped_job_has_saved_its_run(stopped_job: str) -> None:
    assert stopped_job.count("already done") == 3
    assert "stopping: the step in the making is finished and saved first" in stopped_job
    assert "report so far" in stopped_job


@pytest.fixture(scope="module")
def finished_run(stopped_job: str, cluster: str, storage: str, environment: dict[str, str]) -> Iterator[RunFolder]:
    """The same run, fetched from the storage into a new folder by `ray job submit`, to its end."""
    with tempfile.TemporaryDirectory(prefix="ft-runs-") as place:
        run = RunFolder(Path(place) / "ci")
        job = ["ray", "job", "submit", f"--address={cluster}", "--working-dir", ".", "--"]
        job += ["python", "-m", "services", "run", "--preset", "ci", "--run-dir", str(run.root)]
        job += ["--set", f"cluster.storage={json.dumps(storage)}"]
        done = subprocess.run(job, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        assert done.stdout.count("already done") == 3
        yield run


def test_a_killed_and_stopped_run_goes_on_elsewhere_and_makes_everything(finished_run: RunFolder) -> None:
    run = finished_run
    for phase in PHASES:
        assert run.finished(phase.name), phase.name
    logs = "".join(path.read_text() for path in sorted(run.logs.glob("production_training_*.log")))
    assert "PHASE 7/7 report: done" in logs
    assert "loss=" in logs
    for made in (run.base / "step_8", run.supervised / "step_32", run.rl / "rl-iter-2"):
        assert (made / "model.safetensors").exists(), made
    assert run.gguf.stat().st_size > 100_000
    assert "<svg" in (run.report / "index.html").read_text()
    rows = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    assert {row["phase"] for row in rows} >= {"base", "supervised", "rl"}
    assert {row["step"] for row in rows if row["phase"] == "rl"} == {0, 1, 2}
    assert run.summary("export")["argmax_agreement"] >= 0.98


def test_done_again_nothing_is_done_again(finished_run: RunFolder, environment: dict[str, str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_run.checkpoints.rglob("*")}
    done = _ferrotype(environment, "run", "--run-dir", str(finished_run.root))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("already done") == len(PHASES)
    assert {path: path.stat().st_mtime_ns for path in finished_run.checkpoints.rglob("*")} == before


def test_its_checkpoint_writes_code_and_exports(
    finished_run: RunFolder, environment: dict[str, str], tmp_path: Path
) -> None:
    checkpoint = str(finished_run.rl / "rl-iter-2")
    prompt = "pub fn add(a: i32, b: i32) -> i32 {"
    done = _ferrotype(environment, "generate", "--checkpoint", checkpoint, "--prompt", prompt, "--max-tokens", "8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(prompt)
    assert len(done.stdout) > len(prompt) + 1
    output = tmp_path / "model.gguf"
    done = _ferrotype(environment, "export", "--checkpoint", checkpoint, "--output", str(output), "--type", "F16")
    assert done.returncode == 0, done.stderr
    assert output.read_bytes()[:4] == b"GGUF"


def test_a_corrupt_checkpoint_is_refused_in_words(
    finished_run: RunFolder, environment: dict[str, str], tmp_path: Path
) -> None:
    broken = shutil.copytree(finished_run.rl / "rl-iter-2", tmp_path / "rl-iter-2")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    output = tmp_path / "model.gguf"
    done = _ferrotype(environment, "export", "--checkpoint", str(broken), "--output", str(output))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert str(broken) in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_sigkill_left_no_process(killed_run: RunFolder) -> None:
    """Last: Ray's agents take a while to see that their parent is gone, and nobody need wait for them to go on."""
    _wait_for(lambda: not _marked(KILLED), 180)


def _ferrotype(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def _marked(value: str) -> list[int]:
    """Processes of ours that still run."""
    mark = f"{MARK}={value}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                alive = not (folder / "stat").read_text().rpartition(")")[2].startswith(" Z")
                if alive and mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue  # it ended while we looked
    return found


def _wait_for(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.3)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    """Below the range from which the kernel gives ports to whoever asks for any: another test's Ray does meanwhile."""
    found: list[int] = []
    for port in random.Random().sample(range(20_000, 30_000), 1_000):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports")

"""The judge over HTTP, with real Ray and real rustc: what is answered, what is refused and how, the whole server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from reward_farm.errors import BreakerOpen, FarmClosed, SandboxUnavailable
from reward_farm.pool import RewardFarm
from reward_farm.settings import FarmSettings
from serve.farm_errors import api_error
from serve.judge_api import create_judge_app
from serve.settings import JudgeSettings

PROBLEM = {
    "entry": "square",
    "params": ["i64"],
    "returns": "i64",
    "cases": [{"args": [2], "expected": 4}, {"args": [-3], "expected": 9}],
}
RIGHT = "```rust\n/// x times x.\npub fn square(x: i64) -> i64 {\n    x * x\n}\n```"
SLOW = "pub fn square(x: i64) -> i64 { let mut n = 0u64; while n < 9_000_000 { n += 1; } x * x }"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> JudgeSettings:
    scratch = tmp_path_factory.mktemp("scratch")
    farm = FarmSettings(max_queue=8, max_batch=4, scratch_dir=scratch, test_cpu_seconds=2.0)
    return JudgeSettings(farm=farm, max_body_bytes=64 * 1024)


@pytest.fixture(scope="module")
def client(cluster: None, settings: JudgeSettings) -> Iterator[TestClient]:
    app = create_judge_app(lambda: RewardFarm(settings.farm), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
    assert settings.farm.scratch_dir is not None
    assert not list(settings.farm.scratch_dir.iterdir()), "the workers left nothing"


def post(client: TestClient | httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error_of(answer: Any) -> dict[str, Any]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and len(error["message"]) > 10
    return error


def test_a_file_is_checked(client: TestClient) -> None:
    verdict = post(client, "/v1/rust/check", source="pub fn f() -> i32 {\n    true\n}\n")
    assert (verdict["object"], verdict["outcome"], verdict["passed"]) == ("rust.check", "compile_error", False)
    [found] = verdict["diagnostics"]
    assert (found["code"], found["line"], found["column"]) == ("E0308", 2, 5)
    assert verdict["isolation"]
    assert post(client, "/v1/rust/check", source="pub struct S;")["outcome"] == "passed"
    assert post(client, "/v1/rust/check", source="pub fn f() {}", entry="g")["outcome"] == "missing_item"
    checked = post(client, "/v1/rust/check", source="pub fn square(x: i64) -> i64 { x * x }", problem=PROBLEM)
    assert [case["status"] for case in checked["cases"]] == ["passed", "passed"]


def test_completions_are_rewarded_in_order(client: TestClient) -> None:
    chat = [{"role": "user", "content": "square"}, {"role": "assistant", "content": RIGHT}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": RIGHT}]}]
    completions = [" x * x }", RIGHT, chat, parts, " x + x }", "no Rust at all"]
    answer = post(
        client, "/v1/rewards", problem=PROBLEM, prompt="pub fn square(x: i64) -> i64 {", completions=completions
    )
    data = answer["data"]
    assert [item["index"] for item in data] == list(range(6))
    assert [item["outcome"] for item in data] == ["passed"] * 4 + ["test_failed", "parse_error"]
    assert data[1]["reward"] == data[2]["reward"] == data[3]["reward"] == 30.0
    assert data[1]["reward"] > data[4]["reward"] > data[5]["reward"] == 0.0
    assert sum(data[1]["reward_parts"].values()) == 30.0


def test_an_id_gets_one_verdict_and_another_text_a_conflict(client: TestClient) -> None:
    body = {"id": "mine", "source": "pub fn f() {}"}
    assert post(client, "/v1/rust/check", **body) == post(client, "/v1/rust/check", **body)
    answer = client.post("/v1/rust/check", json={**body, "source": "pub fn g() {}"})
    assert answer.status_code == 409
    assert (error_of(answer)["param"], error_of(answer)["code"]) == ("id", "id_conflict")


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no source": ("rust/check", {}, "source"),
    "a number": ("rust/check", {"source": 1}, "source"),
    "an unknown field": ("rust/check", {"source": "", "sauce": ""}, "sauce"),
    "entry and problem": ("rust/check", {"source": "", "entry": "f", "problem": PROBLEM}, ""),
    "a malformed problem": ("rust/check", {"source": "", "problem": {"entry": 1}}, "problem"),
    "no completions": ("rewards", {"problem": PROBLEM, "completions": []}, "completions"),
    "too many": ("rewards", {"problem": PROBLEM, "completions": ["x"] * 257}, "completions"),
    "an empty chat": ("rewards", {"problem": PROBLEM, "completions": [[]]}, "completions.0"),
    "no deadline": ("rewards", {"problem": PROBLEM, "completions": ["x"], "deadline_seconds": 0}, "deadline_seconds"),
    "a foreign type": (
        "rewards",
        {"problem": {**PROBLEM, "params": ["Point"]}, "completions": ["x"]},
        "problem",
    ),
    "a value out of range": (
        "rewards",
        {"problem": {**PROBLEM, "params": ["u8"], "cases": [{"args": [256], "expected": 1}]}, "completions": ["x"]},
        "problem",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_requests_get_400_in_openais_shape(client: TestClient, case: str) -> None:
    path, body, param = REFUSED[case]
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["type"] == "invalid_request_error"
    assert (error_of(answer)["param"] or "") == param


def test_other_bodies_and_paths_are_refused_too(client: TestClient) -> None:
    for body in (b"", b"{", b"[" * 50_000, b"\xff", b'{"source": "\\ud800"}'):
        assert client.post("/v1/rust/check", content=body).status_code == 400
    answer = client.post("/v1/rust/check", json={"source": " " * 70_000})
    assert (answer.status_code, error_of(answer)["code"]) == (413, "body_too_large")
    assert client.get("/v1/rewards").status_code == 405
    assert error_of(client.get("/nowhere"))["message"].startswith("GET /nowhere: Not Found")
    schema = client.get("/openapi.json").json()
    assert "completions" in schema["components"]["schemas"]["RewardsRequest"]["properties"]


def test_a_full_queue_is_429_a_late_verdict_504_and_then_all_is_well(client: TestClient) -> None:
    def ask(number: int) -> httpx.Response:
        body = {"problem": PROBLEM, "completions": [f"{SLOW} // {number} {place}" for place in range(4)]}
        return client.post("/v1/rewards", json=body)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {200, 429} and statuses[200] >= 2, statuses
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert (error_of(refused)["type"], error_of(refused)["code"]) == ("rate_limit_error", "overloaded")
    endless = {"source": SLOW.replace("n < 9_000_000", "true"), "problem": PROBLEM, "deadline_seconds": 0.3}
    late = client.post("/v1/rust/check", json=endless)
    assert (late.status_code, error_of(late)["code"]) == (504, "deadline_exceeded")
    assert post(client, "/v1/rewards", problem=PROBLEM, completions=[RIGHT])["data"][0]["outcome"] == "passed"


def test_what_is_the_farms_own_fault_is_503() -> None:
    broken = api_error(BreakerOpen("64 of the last 64 verdicts were faults of the farm", 12.4))
    assert (broken.status, broken.retry_after_seconds, broken.body["error"]["code"]) == (503, 12, "breaker_open")
    jail = api_error(SandboxUnavailable("seccomp", "refused", "allow it", 1))
    assert (jail.status, jail.body["error"]["type"]) == (503, "server_error")
    assert "seccomp" in jail.body["error"]["message"] and "allow it" in jail.body["error"]["message"]
    assert api_error(FarmClosed("closed")).status == 503


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "waiting": 0, "workers": 1}
    text = client.get("/metrics").text
    for line in (
        'ferrotype_serve_requests_total{endpoint="/v1/rewards",status="429"}',
        'ferrotype_farm_verdicts_total{outcome="passed"}',
        'ferrotype_farm_error_codes_total{code="E0308"} 1.0',
        "ferrotype_farm_refused_total",
        "ferrotype_farm_deadlines_total 1.0",
        'ferrotype_farm_stage_seconds_bucket{le="0.1",stage="compile"}',
        "ferrotype_farm_queue_seconds_count",
        'ferrotype_farm_worker_memory_bytes{worker="0"}',
        "ferrotype_farm_workers 1.0",
        "ferrotype_farm_breaker_open 0.0",
    ):
        assert f"\n{line}" in text, line


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def marked(mark: bytes) -> list[str]:
    """Command lines of the running processes that carry the mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and (folder / "cmdline").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80])
        except OSError:
            continue
    return found


def scratch_of(mark: bytes) -> set[Path]:
    """Folders whose lock a marked process holds. Other judges on this machine have theirs beside them."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes():
                found |= {link.readlink() for link in (folder / "fd").iterdir()}
    return {held.parent for held in found if held.name == ".lock"}


def test_the_command_serves_until_it_is_told_to_stop_and_leaves_nothing() -> None:
    port, mark = free_port(), uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "judge", "--port", str(port)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "FERROTYPE_TEST": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    watchdog = threading.Timer(150, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        assert line.startswith("Judging with rustc 1."), line + process.stdout.read()
        assert line.endswith(f"at http://127.0.0.1:{port}/v1/rust/check and /v1/rewards (Ctrl-C stops it)\n")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
            answer = post(http, "/v1/rewards", problem=PROBLEM, completions=[RIGHT, "fn x() {}"])
            assert [item["outcome"] for item in answer["data"]] == ["passed", "missing_item"]
            assert http.get("/health").json()["status"] == "ok"
        held = scratch_of(mark.encode())
        assert held and all(path.is_dir() for path in held)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        deadline = time.monotonic() + 60
        while left := marked(mark.encode()):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
        assert not any(path.exists() for path in held)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait(10)


def test_a_sandbox_that_can_not_be_built_is_one_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services", "judge", "--port", str(free_port())],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no rustc was found") and done.stderr.count("\n") == 1
    assert done.stdout == ""

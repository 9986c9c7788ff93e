"""Answers checked by real rustc: what is taken, what is refused, and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from reward_farm.pool import RewardFarm
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Verdict
from serve.api import create_app
from serve.engine import Engine
from serve.errors import ApiError
from serve.judging import FarmJudging
from serve.models import Models
from serve.settings import ServeSettings
from serve.verification import complete_items


class Judge:
    """A real farm, started in the loop that first asks it; or the farm's own troubles, where a test wants them."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings, self._farm = settings, None
        self.trouble: ApiError | str | None = None

    async def judge(self, submission: Submission, deadline_seconds: float) -> Verdict:
        if isinstance(self.trouble, ApiError):
            raise self.trouble
        if self.trouble is not None:
            return InfraFault(submission.id, self.trouble)
        self._farm = self._farm or FarmJudging(RewardFarm(self._settings))
        return await self._farm.judge(submission, deadline_seconds)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(FarmSettings(scratch_dir=tmp_path_factory.mktemp("scratch")))


@pytest.fixture(scope="module")
def asked(cluster: None, settings: ServeSettings, judge: Judge) -> Iterator[TestClient]:
    kept = settings.model_copy(update={"farm": judge._settings, "watch_seconds": 0})
    # Queues belong to the loop that first waited in them: these models are not the other tests'.
    with TestClient(create_app(Models(kept), kept, judge), raise_server_exceptions=False) as client:
        yield client


class Writes:
    """Makes the model write one of some texts, each a token, by biasing it towards them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, *texts: str) -> dict[str, Any]:
        ids = [self._engine.tokenize(text) for text in texts]
        assert all(len(each) == 1 for each in ids)
        return {"logit_bias": {str(each[0]): 100 for each in ids}, "max_tokens": 1, "temperature": 2}


@pytest.fixture(scope="module")
def writes(engine: Engine) -> Writes:
    return Writes(engine)


OPEN = "pub fn one() -> i32 { 1 "


def ask(client: TestClient, status: int = 200, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/completions", json={"prompt": OPEN, **body}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_an_answer_that_compiles_is_said_to(asked: TestClient, writes: Writes) -> None:
    answer = ask(asked, **writes("}"), verify={"candidates": 1})
    assert answer["choices"][0]["text"] == "}"
    said = answer["verification"]
    assert (said["status"], said["outcome"], said["chosen"], said["diagnostics"]) == ("verified", "passed", 0, [])
    assert said["rendered"].startswith("answer.rs: ok")
    assert {"generate_ms", "verify_ms", "first_good_ms", "total_ms"} == set(said["timings"])


def test_best_effort_gives_what_compiles_wherever_one_does(asked: TestClient, writes: Writes) -> None:
    coin = writes("}", ")")
    best = [ask(asked, **coin, seed=16 * seed, verify={"candidates": 16, "return_all": True}) for seed in range(4)]
    assert 0 < sum(answer["verification"]["good"] for answer in best) < 64
    for answer in best:
        everyone = answer["verification"]["all"]
        assert [each["good"] for each in everyone] == [each["text"] == "}" for each in everyone]
        some = any(each["good"] for each in everyone)
        assert (answer["choices"][0]["text"], answer["verification"]["status"]) == (
            ("}", "verified") if some else (")", "failed")
        )
        assert answer["verification"]["good"] == sum(each["good"] for each in everyone)
        assert answer["usage"]["completion_tokens"] == 16, "the tokens of all candidates are counted"


def test_the_others_are_stopped_once_one_is_good(asked: TestClient) -> None:
    # One candidate of a greedy request ends at once; the others have hundreds of tokens to write.
    answer = ask(asked, prompt=OPEN + "} //", max_tokens=200, stop=["\n"], logit_bias={"0": -100},
                 temperature=2, verify={"candidates": 16})  # fmt: skip
    assert answer["verification"]["status"] == "verified"
    assert answer["verification"]["checked"] < 16 and answer["usage"]["completion_tokens"] < 16 * 200 // 2


def test_required_is_422_with_what_rustc_says(asked: TestClient, writes: Writes) -> None:
    bad = ask(asked, 422, prompt='pub fn one() -> i32 { "1" ', **writes("}"), verify={"mode": "required"})
    assert bad["error"]["code"] == "verification_failed"
    assert bad["verification"]["diagnostics"][0]["code"] == "E0308"
    assert "expected `i32`, found `&str`" in bad["verification"]["rendered"]
    assert (
        "  --> answer.rs:1:23" in bad["verification"]["rendered"] or "--> answer.rs" in bad["verification"]["rendered"]
    )
    best = ask(asked, prompt='pub fn one() -> i32 { "1" ', **writes("}"), verify={"mode": "best_effort"})
    assert best["verification"]["status"] == "failed" and best["choices"][0]["text"] == "}"


def test_field_header_and_alias_ask_alike(asked: TestClient, writes: Writes) -> None:
    assert ask(asked, **writes("}"), model="tiny:verified")["verification"]["status"] == "verified"
    assert ask(asked, headers={"X-Verify": "required"}, **writes("}"))["verification"]["status"] == "verified"
    assert "verification" not in ask(asked, headers={"X-Verify": "off"}, model="tiny:verified", **writes("}"))
    assert "verification" not in ask(asked, headers={"X-Verify": "required"}, verify={"mode": "off"}, **writes("}"))
    assert ask(asked, 400, headers={"X-Verify": "yes"}, **writes("}"))["error"]["param"] == "X-Verify"
    listed = [model["id"] for model in asked.get("/v1/models").json()["data"]]
    assert listed == ["tiny", "other", "tiny:verified", "other:verified"]
    assert asked.get("/v1/models/tiny:verified").json()["id"] == "tiny:verified"


def test_tests_decide_where_they_are_asked_for(asked: TestClient, writes: Writes) -> None:
    tests = {"level": "test", "entry": "one", "tests": "assert_eq!(one(), 1);", "mode": "required"}
    assert ask(asked, **writes("}"), verify=tests)["verification"]["outcome"] == "passed"
    wrong = ask(asked, 422, **writes("}"), verify={**tests, "tests": "assert_eq!(one(), 2);"})
    assert wrong["verification"]["outcome"] == "test_failed"


def test_a_gap_is_judged_by_its_new_errors_only(asked: TestClient, writes: Writes) -> None:
    suffix = "\n}\npub fn broken() -> u8 { missing }\n"
    fine = ask(asked, prompt="pub fn one() -> i32 {\n    ", suffix=suffix, **writes("1"), verify={"mode": "required"})
    assert fine["verification"]["status"] == "verified" and fine["choices"][0]["text"] == "1"
    bad = ask(asked, 422, prompt="pub fn one() -> bool {\n    ", suffix=suffix, **writes("1"),
              verify={"mode": "required"})  # fmt: skip
    assert {found["code"] for found in bad["verification"]["diagnostics"]} == {"E0308", "E0425"}


def test_trouble_of_the_farm_is_never_a_verdict(asked: TestClient, writes: Writes, judge: Judge) -> None:
    busy = ApiError("The farm is full.", status=429, kind="rate_limit_error", code="overloaded")
    try:
        for judge.trouble in (busy, "the disk is full"):
            said = ask(asked, **writes("}"), verify={})["verification"]
            assert (said["status"], said["outcome"], said["reason"]) == ("unverified", None, str(judge.trouble))
            refused = asked.post(
                "/v1/completions", json={"prompt": OPEN, **writes("}"), "verify": {"mode": "required"}}
            )
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    finally:
        judge.trouble = None


def test_a_chat_is_repaired_with_what_rustc_says(asked: TestClient, writes: Writes) -> None:
    # Short, for the prompt of a repair holds the conversation: the context is 256 tokens.
    body = {"messages": [{"role": "user", "content": "x"}], "verify": {"candidates": 1, "repair_rounds": 2}}
    answer = asked.post("/v1/chat/completions", json={**body, **writes(")")}).json()
    assert answer["verification"]["repair_rounds"] == 2 and answer["verification"]["candidates"] == 3
    assert answer["verification"]["outcome"] == "parse_error"
    fine = asked.post("/v1/chat/completions", json={**body, **writes("\n")}).json()
    assert fine["verification"]["status"] == "verified" and fine["verification"]["repair_rounds"] == 0
    assert fine["choices"][0]["message"]["content"] == "\n"


def test_a_stream_tells_of_verdicts_and_ends_with_the_answer(asked: TestClient, writes: Writes) -> None:
    body = {"prompt": OPEN, **writes("}"), "stream": True, "verify": {}, "stream_options": {"include_usage": True}}
    lines = [line for line in asked.post("/v1/completions", json=body).text.splitlines() if line]
    assert lines[0].startswith(": candidate ") and lines[0].endswith(" passed") and lines[-1] == "data: [DONE]"
    text, end, usage = (json.loads(line.removeprefix("data: ")) for line in lines[-4:-1])
    assert text["choices"][0]["text"] == "}" and end["verification"]["status"] == "verified"
    assert usage["usage"]["completion_tokens"] >= 1
    body |= {"prompt": "pub fn one() -> bool { 1 ", "verify": {"mode": "required"}}
    last = asked.post("/v1/completions", json=body).text.split("data: ")[-1]
    assert json.loads(last)["error"]["code"] == "verification_failed"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "several answers": ({"n": 2, "verify": {}}, ""),
    "log-probabilities": ({"logprobs": 1, "verify": {}}, ""),
    "several prompts": ({"prompt": ["a", "b"], "verify": {}}, "prompt"),
    "repair without a chat": ({"verify": {"repair_rounds": 1}}, "verify.repair_rounds"),
    "no tests": ({"verify": {"level": "test"}}, "verify"),
    "tests of nothing": ({"verify": {"tests": "assert!(true);"}}, "verify"),
    "a problem that is none": ({"verify": {"problem": {"cases": 3}}}, "problem"),
    "lints where none are made": ({"verify": {"level": "clippy"}}, "verify.level"),
    "too many candidates": ({"verify": {"candidates": 17}}, "verify.candidates"),
    "an unknown field": ({"verify": {"candidate": 1}}, "verify.candidate"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(asked: TestClient, case: str) -> None:
    body, param = REFUSED[case]
    assert (ask(asked, 400, **body)["error"]["param"] or "") == param


def test_without_compilers_it_says_how_to_have_them(client: TestClient) -> None:
    for answer in (client.post("/v1/completions", json={"prompt": "fn", "verify": {}}),
                   client.post("/v1/rust/check", json={"source": "fn main() {}"})):  # fmt: skip
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "verify_unavailable")
        assert "ferrotype serve --verify" in answer.json()["error"]["message"]


def test_a_file_is_checked(asked: TestClient) -> None:
    said = asked.post("/v1/rust/check", json={"source": "fn f() -> u8 { true }"}).json()
    assert said["outcome"] == "compile_error" and "expected `u8`, found `bool`" in said["rendered"]


def test_unfinished_items_are_left_out() -> None:
    assert complete_items("fn a() {", " 1; }\n\nfn b() { le") == " 1; }"
    assert complete_items("fn a() {", " 1; }") == " 1; }"
    assert complete_items("fn a() {", " 1; le") == " 1; le"
    assert complete_items('fn a() { "é', '" }\nfn c(') == '" }'


def test_errors_cross_processes_whole() -> None:
    import pickle

    error = ApiError("a", status=429, kind="k", param="p", code="c", retry_after_seconds=3)
    again = pickle.loads(pickle.dumps(error))
    assert (again.body, again.status, again.headers) == (error.body, 429, {"Retry-After": "3"})

"""The farm as a function, and what RL frameworks call: real rustc, no Ray."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reward_farm.adapters import verl
from reward_farm.adapters.trl import RustReward
from reward_farm.document import write_problem
from reward_farm.errors import BadProblem, NotJudged
from reward_farm.problem import Case, Problem
from reward_farm.scoring import Prompted, Scorer, score, score_async, scorer
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, Scored

SQUARE = Problem("square", ("i64",), "i64", (Case((2,), 4), Case((-3,), 9)))
DOCUMENT = json.dumps({**write_problem(SQUARE), "prompt": "/// x times x.\npub fn square(x: i64) -> i64 {"})
RIGHT = "```rust\n/// x times x.\npub fn square(x: i64) -> i64 { x * x }\n```"
WRONG = "pub fn square(x: i64) -> i64 { x + x }"


@pytest.fixture(scope="module", autouse=True)
def ours(settings: FarmSettings) -> FarmSettings:
    """verl's function has no argument for them."""
    verl.SETTINGS = settings
    return settings


def outcomes(verdicts: list[Any]) -> list[Outcome]:
    return [verdict.outcome for verdict in verdicts if isinstance(verdict, Scored)]


def test_completions_are_scored_in_order_whatever_form_the_task_has(ours: FarmSettings) -> None:
    expected = [Outcome.PASSED, Outcome.TEST_FAILED]
    prompted = Prompted(SQUARE, "pub fn square(x: i64) -> i64 {")
    assert outcomes(score(SQUARE, [RIGHT, WRONG], ours)) == expected
    assert outcomes(score(prompted, [" x * x }", WRONG], ours)) == expected
    assert outcomes(score(DOCUMENT, [" x * x }", WRONG], ours)) == expected
    assert outcomes(asyncio.run(score_async(json.loads(DOCUMENT), [" x * x }", WRONG], ours))) == expected
    assert score(SQUARE, [], ours) == []
    with pytest.raises(BadProblem):
        score("nonsense", [RIGHT], ours)


def test_calls_from_many_threads_are_batched_by_all_judges(ours: FarmSettings) -> None:
    two = Scorer(ours.model_copy(update={"workers": 2, "max_batch": 8}))
    bodies = [RIGHT if number % 2 else f"{WRONG} // {number}" for number in range(24)]
    with ThreadPoolExecutor(24) as threads:
        got = list(threads.map(lambda body: two.score([(SQUARE, body)])[0], bodies))
    assert outcomes(got) == [Outcome.PASSED if number % 2 else Outcome.TEST_FAILED for number in range(24)]
    two.close()


def test_a_fault_is_tried_again_and_then_said_to_each_framework_in_its_way(
    ours: FarmSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = ours.model_copy(update={"scratch_dir": tmp_path, "cache_size": 1})
    scorer(broken)
    shutil.rmtree(tmp_path)
    [verdict] = score(SQUARE, [RIGHT], broken)
    assert isinstance(verdict, InfraFault)
    assert RustReward(SQUARE, settings=broken)([""], [RIGHT]) == [None]
    monkeypatch.setattr(verl, "SETTINGS", broken)
    with pytest.raises(NotJudged, match="no fault of its own"):
        verl.compute_score("ferrotype", RIGHT, DOCUMENT)
    tmp_path.mkdir()
    assert outcomes(score(SQUARE, [RIGHT], broken)) == [Outcome.PASSED]


def test_trl_is_given_points_for_texts_and_for_chat(ours: FarmSettings) -> None:
    reward = RustReward(settings=ours)
    assert reward.__name__ == "rust_reward"
    rows = {"problem": [DOCUMENT] * 2, "completion_ids": [[1], [2]], "trainer_state": None}
    texts = reward(prompts=["a", "b"], completions=[" x * x }", " x + x }"], **rows)
    chat = reward(
        ["a", "b"], [[{"role": "assistant", "content": RIGHT}], [{"role": "assistant", "content": WRONG}]], **rows
    )
    assert texts[0] is not None and texts[1] is not None and texts[0] == chat[0] == 30.0
    assert chat[1] is not None and texts[0] > texts[1] > 0
    assert RustReward(SQUARE, scale=1 / 30, settings=ours)(["a"], [RIGHT]) == [1.0]
    with pytest.raises(KeyError, match="problem"):
        reward(["a"], [RIGHT])


def test_verl_is_given_the_same_columns_for_every_sample() -> None:
    one = verl.compute_score("ferrotype", RIGHT, DOCUMENT, {"index": 3}, sandbox_fusion_url=None)
    many = verl.compute_scores(["ferrotype"] * 3, [RIGHT, WRONG, "no"], [DOCUMENT] * 3, [{}] * 3)
    assert one == many[0] == {"score": 30.0, "parsed": 1.0, "compiled": 1.0, "passed": 1.0}
    assert [figures["passed"] for figures in many] == [1.0, 0.0, 0.0]
    assert {frozenset(figures) for figures in many} == {frozenset(one)}


@pytest.mark.parametrize("name", ["score", "verl_reward"])
def test_the_examples_run(name: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(root / "examples" / f"{name}.py")],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "30.0" in done.stdout


def test_verls_manager_takes_the_reward() -> None:
    pytest.importorskip(
        "verl", reason="verl is no dependency of this project; examples/verl_manager.py says how to get it"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(root / "examples" / "verl_manager.py")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line.split()[0] for line in done.stdout.splitlines()[-2:]] == ["30.0", "15.0"]


@pytest.mark.slow
def test_trls_trainer_takes_the_reward() -> None:
    pytest.importorskip("trl", reason="TRL is no dependency of this project; examples/trl_grpo.py says how to get it")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(root / "examples" / "trl_grpo.py")], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "step 2: reward" in done.stdout

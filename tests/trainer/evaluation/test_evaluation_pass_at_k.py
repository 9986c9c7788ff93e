"""pass@k, compile@k and verified@k against counting every draw, and intervals against a bootstrap written by hand."""

from itertools import combinations

import numpy as np
import pytest

from reward_farm.verdict import Diagnostic, Outcome, RewardBreakdown, Scored, Stage, SyntaxMetrics
from trainer.evaluation.evaluation import summarise
from trainer.evaluation.figures import estimate
from trainer.evaluation.funnel import funnel
from trainer.evaluation.pass_at_k import pass_at_k, verified_at_k
from trainer.evaluation.sample import Extraction, Mode, Sample
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.watch import watch
from trainer.tasks.task import Split

ALL = [(n, c, p, k) for n in range(1, 7) for c in range(n + 1) for p in range(c + 1) for k in range(1, n + 1)]


@pytest.mark.parametrize(("samples", "compiling", "passing", "k"), ALL[::3])
def test_the_formulas_are_the_mean_over_all_draws(samples: int, compiling: int, passing: int, k: int):
    kinds = ["passes"] * passing + ["compiles"] * (compiling - passing) + ["fails"] * (samples - compiling)
    draws = list(combinations(kinds, k))
    any_passes = np.mean(["passes" in draw for draw in draws])
    assert pass_at_k(samples, passing, k) == pytest.approx(any_passes)
    picked = []
    for draw in draws:
        good = [kind for kind in draw if kind != "fails"]
        picked.append(good.count("passes") / len(good) if good else 0.0)
    assert verified_at_k(samples, compiling, passing, k) == pytest.approx(np.mean(picked))


def test_it_is_codexs_formula():
    for n, c, k in [(200, 13, 1), (200, 13, 10), (200, 13, 100), (20, 0, 5), (20, 18, 5)]:
        codex = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
        assert pass_at_k(n, c, k) == pytest.approx(codex)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, 1, 0)])
def test_what_is_not_defined_is_no_number(n: int, c: int, k: int):
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(n, c, k)


def sample(task: str, index: int, outcome: Outcome, lenient: Outcome | None = None, **more: object) -> Sample:
    def scored(outcome: Outcome) -> Scored:
        return Scored("k", outcome, RewardBreakdown(), metrics=SyntaxMetrics(20, 1, 1, True, False, 0, 2.0, 1))

    return Sample(
        f"{task}/{index}", task, "f", Split.BENCHMARK, Mode.SAMPLED, index, "fn f() {", "}", 3, False, scored(outcome),
        extraction=Extraction.STRICT, lenient_verdict=lenient and scored(lenient), **more,
    )  # fmt: skip


def graded(passing: list[int], samples: int) -> list[Sample]:
    return [
        sample(f"t{task}", index, Outcome.PASSED if index < right else Outcome.COMPILE_ERROR)
        for task, right in enumerate(passing)
        for index in range(samples)
    ]


def test_figures_and_intervals_are_those_of_a_bootstrap_over_tasks():
    passing, samples, k = [0, 1, 2, 5, 6, 0, 3, 6], 6, 5
    found = estimate(graded(passing, samples), seed=3, resamples=4000, ks=(1, 5, 10))
    each = np.array([pass_at_k(samples, right, k) for right in passing])
    assert found["pass@5"].value == pytest.approx(each.mean())
    assert found["compile@5"] == found["pass@5"] == found["verified@5"]
    assert found["pass@1"].value == pytest.approx(np.mean(passing) / samples)
    assert "pass@10" not in found
    generator = np.random.default_rng(99)
    means = [generator.choice(each, len(each)).mean() for _ in range(20_000)]
    assert (found["pass@5"].low, found["pass@5"].high) == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.02)
    assert found["pass@5"].method == "cluster bootstrap"


def test_lenient_figures_take_the_lenient_verdict_where_there_is_one():
    samples = [sample("a", 0, Outcome.COMPILE_ERROR, Outcome.PASSED), sample("a", 1, Outcome.PASSED)]
    found = {name: figure.value for name, figure in estimate(samples, ks=(1, 2)).items()}
    assert (found["pass_rate"], found["lenient_pass_rate"]) == (0.5, 1.0)
    assert (found["pass@1"], found["lenient_pass@1"], found["pass@2"]) == (0.5, 1.0, 1.0)


def test_verified_items_are_counted_apart_only_where_some_are_not():
    solved = [sample("a", 0, Outcome.PASSED), sample("b", 0, Outcome.TEST_FAILED, verified=False)]
    settings = EvaluationSettings()
    (group, _) = summarise(solved, settings)
    assert group.figures["pass@1"].value == 0.5 and group.verified["pass@1"].value == 1.0
    assert (group.tasks, group.verified_tasks) == (2, 1)
    assert summarise(solved[:1], settings)[0].verified == {}


def test_the_funnel_narrows_by_what_rustc_says_first():
    def at(outcome: Outcome, stage: Stage | None = None, lints: int = 0) -> Scored:
        diagnostics = (Diagnostic("warning", "clippy::needless_return", "x", 1, 1),) * lints
        return Scored("k", outcome, RewardBreakdown(), diagnostics=diagnostics, stage=stage)

    verdicts = [
        at(Outcome.REJECTED),
        at(Outcome.PARSE_ERROR, Stage.PARSE),
        at(Outcome.MISSING_ITEM),
        at(Outcome.COMPILE_ERROR, Stage.RESOLVE),
        at(Outcome.COMPILE_ERROR, Stage.TYPES),
        at(Outcome.COMPILE_ERROR, Stage.BORROW),
        at(Outcome.COMPILE_TIMEOUT),
        at(Outcome.TEST_FAILED),
        at(Outcome.PASSED, lints=2),
        at(Outcome.PASSED),
    ]
    assert funnel(verdicts, clippy=True) == {
        "samples": 10, "parse": 8, "resolve": 5, "types": 4, "borrow": 3, "compile": 3, "tests": 2, "clippy": 1,
    }  # fmt: skip
    assert "clippy" not in funnel(verdicts, clippy=False)
    rate = estimate([sample("a", 0, Outcome.PASSED)], clippy=True)["clippy_per_100_lines"]
    assert (rate.value, rate.count) == (0.0, 20)


def test_the_watch_names_what_is_suspicious():
    def seen(source: str, outcome: Outcome = Outcome.PASSED) -> list[str]:
        watched = sample("a", 0, outcome, source=source)
        assert watched.scored is not None
        return watch(watched, watched.scored)

    assert seen("fn f(x: i32) -> i32 { x }") == []
    assert seen("fn f(x: i32) -> i32 { 7 }") == ["passes and ignores its arguments"]
    assert seen("fn f(x: i32) -> i32 { todo!() }", Outcome.TEST_CRASH) == [
        "placeholder compiles", "ignores its arguments",
    ]  # fmt: skip
    assert seen("fn f(x: i32) -> i32 { std::process::exit(x) }", Outcome.REJECTED) == ["ends the process"]

"""Figures and comparisons over samples whose verdicts are known."""

import pytest

from reward_farm.problem import Case, Problem
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, SyntaxMetrics
from trainer.evaluation.compare import compare
from trainer.evaluation.evaluation import count_faults, summarise
from trainer.evaluation.figures import estimate
from trainer.evaluation.sample import Identity, Mode, Sample, benchmark_sha256, plan_samples
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.statistics import wilson_interval
from trainer.tasks.task import Split, Task

POINTS = {Outcome.PASSED: 23.0, Outcome.TEST_FAILED: 11.0, Outcome.COMPILE_ERROR: 4.0, Outcome.PARSE_ERROR: 0.0}


def sample(
    task: str, outcome: Outcome | None, index: int = 0, text: str = "x", panics: int = 0, mode: Mode = Mode.SAMPLED
) -> Sample:
    verdict = (
        InfraFault("k", "worker died")
        if outcome is None
        else Scored(
            "k",
            outcome,
            RewardBreakdown(parses=POINTS[outcome]),
            metrics=SyntaxMetrics(3, 2, 1, task == "a", False, panics, 2.0, 1),
        )
    )
    key = f"{task}/{mode}/{index}"
    return Sample(key, task, "sums", Split.UNSEEN_TASKS, mode, index, "fn", text, 10, index == 1, verdict)


SAMPLES = [
    sample("a", Outcome.PASSED, 0, "one"),
    sample("a", Outcome.TEST_FAILED, 1, "two", panics=3),
    sample("b", Outcome.COMPILE_ERROR, 0, "one"),
    sample("b", Outcome.PARSE_ERROR, 1, "one"),
]


def test_every_figure_is_the_mean_that_it_says():
    found = {name: figure.value for name, figure in estimate(SAMPLES).items()}
    assert found == {
        "parse_rate": 0.75,
        "compile_rate": 0.5,
        "pass_rate": 0.25,
        "reward": 9.5,
        # Style counts on the two completions that compile.
        "iterator_rate": 1.0,
        "result_option_rate": 0.0,
        "error_handling_rate": 0.0,
        "documented_rate": 0.5,
        "panics": 1.5,
        "complexity": 2.0,
        "cheat_rate": 0.0,
        "completion_tokens": 10.0,
        "truncated_rate": 0.5,
        "solved_rate": 0.5,
        "distinct_share": 0.75,
    }


def test_a_fault_of_the_farm_is_in_no_figure():
    with_faults = [*SAMPLES, sample("a", None, 2), sample("c", None)]
    assert estimate(with_faults) == estimate(SAMPLES)
    settings = EvaluationSettings()
    (group, family) = summarise(with_faults, settings)
    assert (group.tasks, group.samples, group.faults) == (2, 4, 2)
    assert (family.family, family.figures) == ("sums", group.figures)
    assert count_faults(with_faults) == {"worker died": 2}


def test_single_samples_and_extreme_rates_get_wilsons_interval():
    greedy = [sample(str(n), Outcome.PASSED if n < 3 else Outcome.TEST_FAILED) for n in range(10)]
    found = estimate(greedy)
    expected = wilson_interval(3, 10)
    assert (found["pass_rate"].low, found["pass_rate"].high) == (expected.low, expected.high)
    assert found["compile_rate"].value == 1.0 and 0.7 < found["compile_rate"].low < 0.73
    assert found["reward"].method == "cluster bootstrap"
    assert estimate(SAMPLES)["pass_rate"].method == "cluster bootstrap"


def test_nothing_measured_is_no_number():
    found = estimate([sample("a", Outcome.PARSE_ERROR)])
    assert (found["iterator_rate"].value, found["iterator_rate"].count) == (None, 0)
    assert estimate([])["pass_rate"].value is None


def test_comparison_pairs_tasks_and_leaves_out_what_one_side_lacks():
    better = [sample(str(n), Outcome.PASSED if n < 9 else Outcome.TEST_FAILED) for n in range(12)]
    worse = [sample(str(n), Outcome.PASSED if n < 2 else Outcome.COMPILE_ERROR) for n in range(12)]
    worse += [sample("only here", Outcome.PASSED)]
    better += [sample("not judged", None)]
    found = {c.figure: c.difference for c in compare(worse, better, EvaluationSettings())}
    assert found["pass_rate"].pairs == 12
    assert (found["pass_rate"].before, found["pass_rate"].after) == pytest.approx((2 / 12, 9 / 12))
    assert found["pass_rate"].p_value == pytest.approx(2 / 2**7)  # seven gained, none lost: McNemar's exact test
    assert found["compile_rate"].difference == pytest.approx(10 / 12)
    assert found["parse_rate"].p_value == 1.0
    assert found["reward"].difference == pytest.approx((9 * 23 + 3 * 11 - 2 * 23 - 10 * 4) / 12)
    assert compare([], better, EvaluationSettings()) == []


def test_keys_change_with_everything_that_a_result_depends_on():
    task = Task("t", "sums", Split.TRAIN, "fn f() {", "Write f", "}\n", Problem("f", (), "i32", (Case((), 1),)))
    here = EvaluationSettings(samples_per_task=2)
    base = {plan.key for plan in plan_samples([task], here, Identity("c1", "rustc 1"))}
    assert len(base) == 3
    more = here.model_copy(update={"samples_per_task": 4})
    assert base < {plan.key for plan in plan_samples([task], more, Identity("c1", "rustc 1"))}
    other_case = Task("t", "sums", Split.TRAIN, "fn f() {", "Write f", "}\n", Problem("f", (), "i32", (Case((), 2),)))
    for tasks, settings, identity in [
        ([task], here, Identity("c2", "rustc 1")),
        ([task], here, Identity("c1", "rustc 2")),
        ([task], here.model_copy(update={"seed": 1}), Identity("c1", "rustc 1")),
        ([task], here.model_copy(update={"max_tokens": 9}), Identity("c1", "rustc 1")),
        ([other_case], here, Identity("c1", "rustc 1")),
    ]:
        assert base.isdisjoint(plan.key for plan in plan_samples(tasks, settings, identity))
    assert benchmark_sha256([task]) != benchmark_sha256([other_case])
    seeds = [plan.seed for plan in plan_samples([task], more, Identity("c1", "rustc 1"))]
    assert len(set(seeds)) == 5 and all(0 <= seed < 2**31 for seed in seeds)

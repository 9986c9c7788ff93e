"""Criteria: the package's own, a file's mistakes, and what is not measured; and the cache of verdicts."""

import asyncio
from pathlib import Path

import pytest

from reward_farm.problem import Problem, Submission
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Verdict
from trainer.evaluation.criteria import findings, load_criteria
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.evaluation import Evaluation, Group, ModelFacts
from trainer.evaluation.figures import Estimate
from trainer.evaluation.latency import Latency, latency
from trainer.evaluation.sample import Mode
from trainer.evaluation.settings import EvaluationSettings
from trainer.evaluation.verdict_cache import VerdictCache
from trainer.tasks.task import Split


def evaluation(**figures: float) -> Evaluation:
    estimates = {name: Estimate(value, value, value, 10, "wilson") for name, value in figures.items()}
    group = Group(
        split=Split.BENCHMARK, mode=Mode.SAMPLED, family=None, tasks=1, samples=1, faults=0,
        figures={"pass@1": Estimate(0.25, 0.2, 0.3, 1, "cluster bootstrap")}, outcomes={}, error_codes={},
    )  # fmt: skip
    return Evaluation(
        label="l", checkpoint="c", checkpoint_sha256="", benchmark_sha256="", judged_by="", seconds=1, faults={},
        settings=EvaluationSettings(), reused_samples=0, groups=(group,), overall=estimates,
        model=ModelFacts(bytes=99_000_000), latency=Latency(mean_ms=40, p50_ms=30, p95_ms=90, count=20),
    )  # fmt: skip


def test_the_packages_criteria_are_the_guides_and_bounds_are_kept_exactly():
    good = evaluation(compile_rate=0.95, reward=25.1, iterator_rate=0.7, error_handling_rate=0.8,
                      documented_rate=0.5, complexity=4.9)  # fmt: skip
    found = findings(good, load_criteria())
    assert len(found) == 8 and all(finding.met for finding in found)
    bad = evaluation(compile_rate=0.949, reward=25.0, iterator_rate=0.69, error_handling_rate=0.79,
                     documented_rate=0.49, complexity=5.0)  # fmt: skip
    assert [finding.met for finding in findings(bad, load_criteria())] == [False] * 6 + [True, True]
    missing = findings(evaluation(), load_criteria())[0]
    assert not missing.met and "not measured" in missing.line


def test_a_criterion_may_take_one_split(tmp_path: Path):
    path = tmp_path / "criteria.toml"
    path.write_text('[[criterion]]\ntitle = "x"\nfigure = "pass@1"\nat_least = 0.25\nsplit = "benchmark"\n')
    (found,) = findings(evaluation(), load_criteria(path))
    assert found.met and found.line == f"met     {'x':<39}≥ 25.0%   25.0% [20.0%, 30.0%]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[criterion]]\ntitle = "x"\nfigure = "speed"\nbelow = 1.0\n', "there is no figure 'speed'"),
        ('[[criterion]]\ntitle = "x"\nfigure = "reward"\n', "give one of at_least, above, at_most and below"),
        ('[[criterion]]\ntitle = "x"\nfigure = "reward"\nbelow = "y"\n', "valid number"),
        ('[[criteria]]\ntitle = "x"\n', "criterion"),
        ("not toml", "can't be read as criteria"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, said: str):
    path = tmp_path / "criteria.toml"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=said) as refused:
        load_criteria(path)
    assert str(refused.value).startswith(str(path))


def test_latency_is_of_what_was_timed():
    assert latency([0.0, 0.0]) is None
    found = latency([0.0, *range(1, 101)])
    assert found is not None
    assert (found.mean_ms, found.p50_ms, round(found.p95_ms, 2), found.count) == (50.5, 50.5, 95.05, 100)


def test_verdicts_are_kept_by_content_but_for_what_another_time_may_change(tmp_path: Path):
    asked: list[str] = []

    async def judge(submission: Submission) -> Verdict:
        asked.append(submission.id)
        if submission.source == "fault":
            return InfraFault(submission.id, "disk full")
        outcome = Outcome.TEST_TIMEOUT if submission.source == "slow" else Outcome.PASSED
        return Scored(submission.id, outcome, RewardBreakdown(4, 6, 1, 12, 3))

    def run(judged_by: str, *submissions: Submission) -> list[Verdict]:
        cache = VerdictCache(tmp_path / "verdicts.sqlite", judged_by)

        async def work() -> list[Verdict]:
            return [await cache.through(judge)(submission) for submission in submissions]

        try:
            return asyncio.run(work())
        finally:
            cache.close()

    problem = Problem("f", ("i32",), "i32")
    good = Submission("a", "good", problem)
    (first,) = run("rustc 1", good)
    (second,) = run("rustc 1", Submission("b", "good", problem))
    assert asked == ["a"] and isinstance(second, Scored) and (second.id, second.cached) == ("b", True)
    assert isinstance(first, Scored) and first.reward == second.reward
    run("rustc 2", good)
    run("rustc 1", Submission("c", "good", Problem("f", ("i64",), "i32")))
    run("rustc 1", *[Submission(str(n), source, problem) for n in range(2) for source in ("slow", "fault")])
    assert asked == ["a", "a", "c", "0", "0", "1", "1"]
    (tmp_path / "bad").write_text("no database at all, but long enough to look like one")
    with pytest.raises(EvaluationError, match="--no-cache"):
        VerdictCache(tmp_path / "bad", "rustc")

"""Thousands of generated candidates: no forgery passes, no honest answer fails, a verdict depends on the text.

The full sizes are for the night; the everyday ones are as large as a minute of two cores allows.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import pytest
from dressings import DRESSINGS, dress
from hostile.variants import HACKS, forgeries
from many_judges import ManyJudges

from benchmarks.candidates import mixed, references
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Outcome, Scored, Verdict

night = pytest.mark.nightly


def _scored(verdicts: list[Verdict]) -> list[Scored]:
    faults = [verdict for verdict in verdicts if not isinstance(verdict, Scored)]
    assert not faults, "no text of a candidate's makes a fault of ours"
    return [verdict for verdict in verdicts if isinstance(verdict, Scored)]


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=[night, pytest.mark.timeout(3600)])])
def test_no_forgery_passes(count: int, judges: ManyJudges, settings: FarmSettings) -> None:
    forged = list(islice(forgeries(), count))
    assert len({forgery.source for forgery in forged}) == count
    assert len({forgery.name.split(" / ")[0] for forgery in forged}) == len(HACKS)
    verdicts = _scored(
        judges.judge(settings, [Submission(str(n), each.source, each.problem) for n, each in enumerate(forged)])
    )
    paid = {
        forgery.source: verdict
        for forgery, verdict in zip(forged, verdicts, strict=True)
        if verdict.passed or verdict.reward.tests or any(case.status == "passed" for case in verdict.cases)
    }
    assert not paid
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    # Forgeries that don't compile prove nothing: most must run, or be refused for what they are.
    assert outcomes[Outcome.TEST_FAILED] + outcomes[Outcome.TEST_CRASH] > count * 0.4, outcomes
    assert outcomes[Outcome.PARSE_ERROR] + outcomes[Outcome.MISSING_ITEM] == 0, outcomes


@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=[night, pytest.mark.timeout(3600)])])
def test_no_honest_answer_fails(count: int, judges: ManyJudges, settings: FarmSettings) -> None:
    rng = Random(f"dress:{count}")
    dressed = [(*dress(each.source, each.problem.entry, rng), each.problem) for each in islice(references(7), count)]
    assert {name for names, _, _ in dressed for name in names.split(" + ")} == set(DRESSINGS)
    submissions = [Submission(f"{n}: {names}", source, problem) for n, (names, source, problem) in enumerate(dressed)]
    failed = {
        (verdict.id, submission.source): (verdict.outcome, verdict.diagnostics, verdict.cases)
        for submission, verdict in zip(submissions, _scored(judges.judge(settings, submissions)), strict=True)
        if not verdict.passed
    }
    assert not failed


def _said(verdict: Scored) -> object:
    """All that must not depend on the company or the hour: all but timings and what an undefined value was."""
    codes = sorted(
        (each.level, each.code or each.message, each.line, each.column, each.end_line, each.end_column, each.label)
        for each in verdict.diagnostics
    )
    return verdict.outcome, verdict.stage, verdict.cheat, codes, verdict.cases, verdict.reward


@pytest.mark.parametrize("count", [96, pytest.param(5_000, marks=[night, pytest.mark.timeout(7200)])])
def test_a_candidate_alone_is_judged_as_in_a_batch(count: int, judges: ManyJudges, settings: FarmSettings) -> None:
    submissions = [Submission(str(n), each.source, each.problem) for n, each in enumerate(islice(mixed(count), count))]
    together = _scored(judges.judge(settings, submissions))
    alone = _scored(judges.judge(settings.model_copy(update={"max_batch": 1}), submissions))
    outcomes = Counter(verdict.outcome for verdict in together)
    assert min(outcomes[Outcome.PASSED], outcomes[Outcome.COMPILE_ERROR]) > count * 0.1, outcomes
    differ = {
        submission.source: (one, two)
        for submission, one, two in zip(submissions, map(_said, together), map(_said, alone), strict=True)
        if one != two
    }
    assert not differ


@pytest.mark.parametrize(
    ("repeats", "count"), [(5, 40), pytest.param(100, 100, marks=[night, pytest.mark.timeout(7200)])]
)
def test_the_same_candidates_get_the_same_verdicts(
    repeats: int, count: int, judges: ManyJudges, settings: FarmSettings
) -> None:
    """In another order each time, so that others stand beside them."""
    candidates = list(islice(mixed(11), count // 2)) + list(islice(references(11), count - count // 2))
    rng = Random(0)
    order = [number for _ in range(repeats) for number in rng.sample(range(count), count)]
    submissions = [Submission(str(n), candidates[n].source, candidates[n].problem) for n in order]
    said: dict[int, set[str]] = {}
    for number, verdict in zip(order, _scored(judges.judge(settings, submissions)), strict=True):
        said.setdefault(number, set()).add(repr(_said(verdict)))
    differ = {candidates[number].source: answers for number, answers in said.items() if len(answers) > 1}
    assert not differ

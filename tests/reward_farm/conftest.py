"""A real judge: real rustc, real bubblewrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from many_judges import ManyJudges

from reward_farm.judge import Judge
from reward_farm.problem import Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored

JudgeAll = Callable[[Mapping[str, tuple[str, Problem]]], dict[str, Scored]]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> FarmSettings:
    """Folders of its own, so that the first test also proves that the harness builds; and nothing remembered."""
    return FarmSettings(
        cache_dir=tmp_path_factory.mktemp("cache"), scratch_dir=tmp_path_factory.mktemp("scratch"), cache_size=0
    )


@pytest.fixture(scope="session")
def judge(settings: FarmSettings) -> Iterator[Judge]:
    with Judge(settings) as made:
        yield made


@pytest.fixture(scope="session")
def judge_all(judge: Judge) -> JudgeAll:
    """Verdicts by name. Every one must be a verdict about the candidate: a fault of ours fails the test."""

    def run(candidates: Mapping[str, tuple[str, Problem]]) -> dict[str, Scored]:
        verdicts = judge.judge([Submission(name, source, problem) for name, (source, problem) in candidates.items()])
        assert [verdict.id for verdict in verdicts] == list(candidates)
        faults = [verdict for verdict in verdicts if not isinstance(verdict, Scored)]
        assert not faults
        return {verdict.id: verdict for verdict in verdicts if isinstance(verdict, Scored)}

    return run


@pytest.fixture(scope="session")
def judges() -> Iterator[ManyJudges]:
    """For tests of thousands."""
    with ManyJudges() as made:
        yield made

"""The farm as verl's custom reward function. Imports nothing of verl's: only the signatures are shared.

    reward.custom_reward_function.path=/path/to/reward_farm/adapters/verl.py
    reward.custom_reward_function.name=compute_score

The dataset's `reward_model.ground_truth` is a problem's JSON document (`reward_farm.document`), as text. With verl's
batch reward manager, `compute_scores` judges a whole batch in few compiler runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward_farm.errors import NotJudged
from reward_farm.scoring import scorer
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored, Verdict

SETTINGS = FarmSettings()


def compute_score(
    data_source: str,  # noqa: ARG001
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,  # noqa: ARG001
    **_: Any,
) -> dict[str, float]:
    """One completion's points as `score`, 0 to 30, and how far it came. Calls from many threads are batched.

    Raises:
        NotJudged: the fault is the farm's, after two more tries. verl knows no missing reward, and 0 would be a lie.
        FarmError: nothing can be judged on this machine, or the problem is malformed.
    """
    return _figures(scorer(SETTINGS).score([(ground_truth, solution_str)])[0])


def compute_scores(
    data_sources: Sequence[str],  # noqa: ARG001
    solution_strs: Sequence[str],
    ground_truths: Sequence[str],
    extra_infos: Sequence[dict[str, Any] | None] | None = None,  # noqa: ARG001
    **_: Any,
) -> list[dict[str, float]]:
    """A batch's, in order. Raises as `compute_score` does."""
    verdicts = scorer(SETTINGS).score(zip(ground_truths, solution_strs, strict=True))
    return [_figures(verdict) for verdict in verdicts]


def _figures(verdict: Verdict) -> dict[str, float]:
    """The same keys always: verl collects each into a column."""
    if not isinstance(verdict, Scored):
        raise NotJudged(f"a completion could not be judged, through no fault of its own: {verdict.reason}")
    return {
        "score": verdict.reward.total,
        "parsed": float(verdict.parsed),
        "compiled": float(verdict.compiled),
        "passed": float(verdict.passed),
    }

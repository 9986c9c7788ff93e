"""Warnings in words: what an operator should know of a phase's figures, and what to do. Pure: rows in, sentences."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Row = Mapping[str, Any]

WINDOW = 5
"""Steps that a warning rests on: single ones are noise."""
LONG_WINDOW = 20
"""Those of the reward, which goes up and down with the tasks of a step."""
AGAIN_AFTER = 25
"""Steps before a warning that still holds is said again."""
EQUAL_GROUPS = 0.75
CUT_OFF = 0.3
LOW_ENTROPY = 0.02
"""Nats a token: beneath, siblings are the same text and groups stop teaching."""
CHEATS = 0.05
FAULTS = 0.05
LARGE_GAP = 0.5
"""Nats: sampler and learner are then no longer the same policy, whatever the importance weights do."""
REWARD_FALL = 3.0
"""Points of 30 below the best stretch of the run."""
NOT_FINITE = (
    "this step's gradient was not finite, so the policy was left as it was. If it happens again, lower "
    "grpo.learning_rate"
)
LOSS_RISE = 1.3
"""Times the median of the steps before."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`says` gives the warning that the last rows call for, or None; it is asked where all of them have `needs`."""

    name: str
    needs: str
    says: Callable[[Sequence[Row]], str | None]
    window: int = WINDOW


class Adviser:
    """Remembers a phase's last steps and what was said of them."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=LONG_WINDOW)
        self._heard = 0
        self._said: dict[str, int] = {}
        self._best: float | None = None

    def hear(self, row: Row) -> list[str]:
        """The warnings that are due after this step."""
        self._rows.append(row)
        self._heard += 1
        if row.get("skipped_updates"):
            return [NOT_FINITE]
        recent, due = list(self._rows), []
        if len(recent) == LONG_WINDOW and _known(recent, "reward_mean"):
            self._best = max(self._best or 0.0, _mean(recent, "reward_mean"))
            recent[-1] = {**row, "reward_best": self._best}
        for rule in RULES:
            rows, silent = recent[-rule.window :], self._heard < self._said.get(rule.name, 0)
            if silent or len(rows) < rule.window or not _known(rows, rule.needs):
                continue
            if (text := rule.says(rows)) is not None:
                self._said[rule.name] = self._heard + AGAIN_AFTER
                due.append(text)
        return due


def _known(rows: Sequence[Row], name: str) -> bool:
    return all(row.get(name) is not None for row in rows)


def _mean(rows: Sequence[Row], name: str) -> float:
    return fmean(float(row[name]) for row in rows)


def _equal_groups(rows: Sequence[Row]) -> str | None:
    share = _mean(rows, "zero_variance_share")
    if share < EQUAL_GROUPS:
        return None
    tasks = "harder" if _mean(rows, "reward_mean") > 0.8 * 30 else "easier"
    return (
        f"{share:.0%} of groups have equal rewards and teach nothing: raise grpo.temperature, grpo.group_size "
        f"or grpo.refill_groups, set grpo.curriculum, or take {tasks} tasks"
    )


def _fallen_reward(rows: Sequence[Row]) -> str | None:
    now, best = _mean(rows, "reward_mean"), rows[-1]["reward_best"]
    if now > best - REWARD_FALL:
        return None
    return (
        f"the reward fell from {best:.1f} to {now:.1f}: go back to an earlier rl-iter-N with a lower "
        "grpo.learning_rate if it does not recover"
    )


def _cut_off(rows: Sequence[Row]) -> str | None:
    share = _mean(rows, "truncated_share")
    return f"{share:.0%} of completions are cut off: raise grpo.max_completion_tokens" if share > CUT_OFF else None


def _low_entropy(rows: Sequence[Row]) -> str | None:
    entropy = _mean(rows, "entropy")
    if entropy > LOW_ENTROPY:
        return None
    return (
        f"the policy's entropy is {entropy:.3f} nats a token: it hardly explores any more. Raise grpo.temperature, "
        "set grpo.kl_coefficient, or stop here"
    )


def _large_gap(rows: Sequence[Row]) -> str | None:
    gap = _mean(rows, "logprob_gap_mean")
    if gap < LARGE_GAP:
        return None
    return (
        f"sampler and learner are {gap:.2f} nats a token apart: lower grpo.max_lag or grpo.learning_rate; with max_lag "
        "0, the two engines disagree"
    )


def _cheats(rows: Sequence[Row]) -> str | None:
    share = _mean(rows, "cheat_share")
    if share < CHEATS:
        return None
    return f"{share:.0%} of completions try to cheat; they score 0. `ferrotype trace RUN --outcome rejected` shows them"


def _faults(rows: Sequence[Row]) -> str | None:
    faults, completions = (sum(float(row.get(name) or 0) for row in rows) for name in ("infra_faults", "completions"))
    if not completions or faults / completions < FAULTS:
        return None
    return f"{faults / completions:.0%} of completions could not be judged, through faults of the farm: see the log"


def _risen_loss(rows: Sequence[Row]) -> str | None:
    *before, now = [float(row["loss"]) for row in rows]
    usual = sorted(before)[len(before) // 2]
    if "reward_mean" in rows[-1] or now <= LOSS_RISE * usual:
        return None
    return f"the loss rose from {usual:.3f} to {now:.3f}: lower pretrain.learning_rate if it does not come down again"


RULES = (
    Rule("equal groups", "zero_variance_share", _equal_groups),
    Rule("fallen reward", "reward_mean", _fallen_reward, LONG_WINDOW),
    Rule("cut off", "truncated_share", _cut_off),
    Rule("low entropy", "entropy", _low_entropy),
    Rule("large gap", "logprob_gap_mean", _large_gap),
    Rule("cheats", "cheat_share", _cheats),
    Rule("faults", "infra_faults", _faults),
    Rule("risen loss", "loss", _risen_loss),
)

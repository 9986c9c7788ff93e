"""The result of a run in a sentence or two: what was measured, whichever way it went."""

from __future__ import annotations

from services.report.numbers import difference_of, p_value, percent
from services.report.record import RunRecord
from trainer.evaluation.compare import Comparison
from trainer.tasks.task import Split

NAMES = {"compile_rate": "the compile rate", "pass_rate": "the test-pass rate"}

SIGNIFICANT = 0.05


def headline(record: RunRecord) -> str:
    """What RL did on unseen tasks, in one sentence; or why that can't be said yet."""
    if (said := effect(record, Split.UNSEEN_TASKS)) is None:
        waiting = f" It has not finished: {', '.join(record.unfinished)}." if record.unfinished else ""
        return f"Nothing can be said about RL yet: supervised and RL checkpoints have not been compared.{waiting}"
    return said


def effect(record: RunRecord, split: Split) -> str | None:
    """What RL did on one split, or None where it was not measured."""
    compared = record.compare("supervised", "rl", split)
    if not compared:
        return None
    tasks = compared["compile_rate"].difference.pairs
    where = f"{tasks} unseen tasks" if split is Split.UNSEEN_TASKS else f"{tasks} tasks of unseen families"
    compiled, passed = (compared[figure] for figure in NAMES)
    second = "" if _verb(compiled) == _verb(passed) else f"{_verb(passed)} "
    return f"On {where}, GRPO {_verb(compiled)} {_change(compiled)}, and {second}{_change(passed)}."


def against_control(record: RunRecord) -> str | None:
    """RL against spending the same time on more supervised training, where that was tried."""
    compared = record.compare("control", "rl", Split.UNSEEN_TASKS)
    if not compared:
        return None
    words = []
    for figure, name in NAMES.items():
        found = compared[figure].difference
        place = "ahead on" if found.difference > 0 else "behind on" if found.difference < 0 else "level on"
        words.append(f"{place} {name} ({difference_of(figure, found.difference)}, {p_value(found.p_value)})")
    return f"Against the control arm, more supervised training for the same time, RL is {' and '.join(words)}."


def _verb(comparison: Comparison) -> str:
    if comparison.difference.p_value >= SIGNIFICANT:
        return "did not measurably change"
    return "raised" if comparison.difference.difference > 0 else "lowered"


def _change(comparison: Comparison) -> str:
    """`the compile rate from 41.0 % to 62.5 % (+21.5 points [14.1, 28.9], p < 0.001)`."""
    found, name = comparison.difference, NAMES[comparison.figure]
    bounds = f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"
    evidence = f"({difference_of(comparison.figure, found.difference)} {bounds}, {p_value(found.p_value)})"
    return f"{name} from {percent(found.before)} to {percent(found.after)} {evidence}"

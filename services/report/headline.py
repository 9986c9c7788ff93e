"""The result of a run in a sentence or two. It says what was measured, whichever way it went."""

from __future__ import annotations

from services.report.numbers import difference_of, p_value, percent
from services.report.record import SPLIT_TITLES, RunRecord
from trainer.evaluation.compare import Comparison
from trainer.tasks.task import Split

NAMES = {"compile_rate": "the compile rate", "pass_rate": "the test-pass rate"}

SIGNIFICANT = 0.05


def headline(record: RunRecord) -> str:
    """What RL did on unseen tasks; or what else the run has to say so far."""
    compared = record.compare("supervised", "rl", Split.UNSEEN_TASKS)
    if not compared:
        waiting = f" It has not finished: {', '.join(record.unfinished)}." if record.unfinished else ""
        return f"Nothing can be said about RL yet: base, supervised and RL checkpoints have not been compared.{waiting}"
    tasks = compared["compile_rate"].difference.pairs
    parts = [_clause(compared[figure]) for figure in NAMES]
    sentence = f"On {tasks} {SPLIT_TITLES[Split.UNSEEN_TASKS]}, GRPO {parts[0]}, and {parts[1]}."
    control = record.compare("control", "rl", Split.UNSEEN_TASKS)
    return f"{sentence} {_against_control(control)}" if control else sentence


def _clause(comparison: Comparison) -> str:
    """`raised the compile rate from 41.0 % to 62.5 % (+21.5 points [14.1, 28.9], p < 0.001)`."""
    found, name = comparison.difference, NAMES[comparison.figure]
    bounds = f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"
    evidence = f"({difference_of(comparison.figure, found.difference)} {bounds}, {p_value(found.p_value)})"
    from_to = f"from {percent(found.before)} to {percent(found.after)} {evidence}"
    if found.p_value >= SIGNIFICANT:
        return f"moved {name} {from_to}, which may be chance"
    return f"{'raised' if found.difference > 0 else 'lowered'} {name} {from_to}"


def _against_control(compared: dict[str, Comparison]) -> str:
    """RL against spending the same time on more supervised training."""
    words = []
    for figure, name in NAMES.items():
        found = compared[figure].difference
        verb = "ahead on" if found.difference > 0 else "behind on"
        clear = "" if found.p_value < SIGNIFICANT else ", not significantly"
        words.append(f"{verb} {name} ({difference_of(figure, found.difference)}, {p_value(found.p_value)}{clear})")
    return f"Against the control arm, which trained on supervised for the same time, RL is {' and '.join(words)}."

"""Every task with its answers and what was said of them, as the page's script reads it. Pure; bounded in size."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from reward_farm.verdict import Scored
from services.report.evaluation.results import Results, Side
from trainer.evaluation.compare import Standing
from trainer.evaluation.sample import Mode, Sample

MOST_BYTES = 4_500_000
"""Of all tasks: a page that can be mailed. Results of thousands of tasks have more, in their own files."""
MOST_SOURCE = 3000
"""Characters of an answer: one that rambles on is cut."""
MOST_DIAGNOSTICS = 6

STATES = {"passed": "passed", "test_failed": "failed", "test_crash": "failed", "test_timeout": "failed",
          "output_limit": "failed", "link_failed": "failed", "parse_error": "unparsed", "missing_item": "unparsed",
          "rejected": "rejected"}  # fmt: skip
"""Colour of an outcome; every other one does not compile."""


def tasks_json(results: Results) -> str:
    """A JSON object that may stand inside a script element: no text of a model's can end that."""
    drawn = [_drawn(side) for side in results.sides]
    entries = {task: _written(_task(results, task, drawn)) for task in results.tasks}
    kept = _within(entries, results)
    sides = _written([{"title": side.title, "color": side.color} for side in results.sides])
    tasks = ",".join(entries[task] for task in results.tasks if task in kept)
    return f'{{"sides":{sides},"left_out":{len(entries) - len(kept)},"tasks":[{tasks}]}}'


def _within(entries: Mapping[str, str], results: Results) -> set[str]:
    """Tasks whose entries fit the page: what moved first, then what fails, and what passes last."""
    order = {Standing.BROKEN: 0, Standing.FIXED: 0, Standing.BOTH_FAIL: 1, Standing.BOTH_PASS: 2}
    last = results.representatives[-1]
    rank = {task: order.get(results.standings.get(task, Standing.BOTH_FAIL), 1) for task in entries}
    if not results.standings:
        rank = {task: 1 + _passes(last[task]) for task in entries}
    left, kept = MOST_BYTES, set[str]()
    for task in sorted(entries, key=lambda task: rank[task]):
        left -= len(entries[task].encode())
        if left < 0:
            break
        kept.add(task)
    return kept


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def state_of(scored: Scored) -> str:
    """`passed`, `failed`, `uncompiled`, `unparsed` or `rejected`: the page's colours."""
    return STATES.get(scored.outcome.value, "uncompiled")


def _task(results: Results, task: str, drawn: Sequence[Mapping[str, Counter[str]]]) -> dict[str, Any]:
    shown = results.representatives[-1][task]
    standing = results.standings.get(task)
    return {
        "id": task,
        "family": shown.family,
        "split": shown.split.value,
        "standing": standing.value if standing else ("passes" if _passes(shown) else "fails"),
        "verified": shown.verified,
        "sides": [
            _answer(samples[task], counts.get(task, Counter()))
            for samples, counts in zip(results.representatives, drawn, strict=True)
        ],
    }


def _answer(sample: Sample, drawn: Counter[str]) -> dict[str, Any]:
    scored = sample.scored
    assert scored is not None  # representatives are judged
    source = sample.source or sample.prompt + sample.completion
    given = sample.prompt.count("\n") + 1 if source.startswith(sample.prompt) else 0
    return {
        "mode": sample.mode.value,
        "state": state_of(scored),
        "outcome": scored.outcome.value.replace("_", " "),
        "reward": round(scored.reward.total, 2),
        "cheat": scored.cheat,
        "source": source[:MOST_SOURCE],
        "cut": len(source) > MOST_SOURCE,
        "given": given,
        "notes": [
            [d.line, d.column, d.level, d.code or "", d.message.partition("\n")[0], d.label or ""]
            for d in scored.diagnostics[:MOST_DIAGNOSTICS]
        ],
        "cases": _cases(scored),
        "tokens": sample.tokens,
        "ms": round(sample.latency_ms),
        "drawn": dict(drawn),
    }


def _cases(scored: Scored) -> str:
    if not scored.cases:
        return ""
    passed = sum(case.status == "passed" for case in scored.cases)
    wrong = next((case for case in scored.cases if case.status != "passed"), None)
    example = "" if wrong is None else f"; one {wrong.status}" + (f", it gave {wrong.got}" if wrong.got else "")
    return f"{passed} of {len(scored.cases)} hidden tests pass{example}"


def _drawn(side: Side) -> dict[str, Counter[str]]:
    """Of all sampled answers to each task, how many are in each state."""
    by_task: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in side.samples:
        if sample.mode is Mode.SAMPLED and sample.scored is not None:
            by_task[sample.task][state_of(sample.scored)] += 1
    return by_task


def _passes(sample: Sample) -> bool:
    return sample.scored is not None and sample.scored.passed

"""The trace: some completions of every iteration with their whole verdict, as JSON lines, for people and reports.

Bounded on disk: past `MAX_BYTES` the file becomes `<name>.1` and a new one begins; what was in the old `.1` is gone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.grpo.group import Group, Sample

MAX_BYTES = 32 << 20
"""Some ten thousand completions; two such files are kept."""


class Trace:
    """Appends to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, iteration: int, groups: Sequence[Group], count: int) -> None:
        """Keep `count` completions: the best, the worst, then every n-th by reward."""
        lines = [json.dumps(_entry(iteration, group, sample)) for group, sample in spread(groups, count)]
        if not lines:
            return
        if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        with self._path.open("a") as file:
            file.write("\n".join(lines) + "\n")


def spread(groups: Sequence[Group], count: int) -> list[tuple[Group, Sample]]:
    """`count` judged completions, evenly spaced from the worst reward to the best."""
    judged = [
        (sample.scored.reward.total, group, sample) for group in groups for sample in group.samples if sample.scored
    ]
    judged.sort(key=lambda entry: entry[0])
    if count < 2 or len(judged) <= count:
        return [(group, sample) for _, group, sample in judged[-count:] if count]
    places = [round(step * (len(judged) - 1) / (count - 1)) for step in range(count)]
    return [judged[place][1:] for place in places]


def _entry(iteration: int, group: Group, sample: Sample) -> dict[str, Any]:
    verdict = sample.scored
    assert verdict is not None
    return {
        "iteration": iteration,
        "task": group.task.id,
        "family": group.task.family,
        "prompt": group.task.prompt,
        "completion": sample.text,
        "tokens": len(sample.completion.token_ids),
        "finish_reason": sample.completion.finish_reason,
        "versions": [dataclasses.astuple(span) for span in sample.completion.versions],
        "logprob": sum(sample.completion.logprobs),
        "outcome": verdict.outcome,
        "reward": verdict.reward.total,
        "breakdown": dataclasses.asdict(verdict.reward),
        "cheat": verdict.cheat,
        "diagnostics": [dataclasses.asdict(d) for d in verdict.diagnostics],
        "cases": [dataclasses.asdict(c) for c in verdict.cases],
    }

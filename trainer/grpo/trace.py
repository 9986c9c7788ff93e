"""The trace: every completion of every iteration with its whole verdict, for people and for reports.

One file an iteration, `iteration-00042.jsonl.zst`, written whole or not at all; an iteration that is done again after a
kill replaces its own. Bounded on disk: the oldest files go. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard
from pydantic import TypeAdapter

from reward_farm.verdict import Scored, Verdict
from rollout.types import VersionSpan
from trainer.corpus.atomic import atomic_file
from trainer.grpo.group import Group, Sample

MAX_BYTES = 1 << 30
"""Of a run's trace: about three million completions of 60 tokens. Text compresses to a tenth."""

LEVEL = 3
"""zstandard's default: a step's 128 completions take a few milliseconds."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One completion. `group` is its group's place in the run's sequence of tasks; `logprob` its sampler's, in nats."""

    iteration: int
    group: int
    task: str
    family: str
    function: str
    prompt: str
    completion: str
    source: str
    """The whole file that was judged."""
    tokens: int
    finish_reason: str
    versions: tuple[VersionSpan, ...]
    logprob: float
    verdict: Verdict

    @property
    def scored(self) -> Scored | None:
        """The verdict, or None if it was a fault of ours."""
        return self.verdict if isinstance(self.verdict, Scored) else None

    def to_json(self) -> bytes:
        """One line, without its end."""
        return _ENTRY.dump_json(self)


_ENTRY = TypeAdapter(TraceEntry)


class Trace:
    """Writes into one folder."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def write(self, iteration: int, groups: Sequence[Group], count: int | None = None) -> None:
        """Keep an iteration's completions: all, or `count` of them, from the worst reward to the best.

        Raises:
            trainer.corpus.errors.WriteFailed: the disk refuses.
        """
        samples = [(group, sample) for group in groups for sample in group.samples]
        kept = samples if count is None else spread(samples, count)
        lines = b"".join(_entry(iteration, group, sample).to_json() + b"\n" for group, sample in kept)
        with atomic_file(self._folder / f"iteration-{iteration:05}.jsonl.zst") as file:
            file.write(zstandard.ZstdCompressor(level=LEVEL).compress(lines))
        self._bound()

    def _bound(self) -> None:
        files = trace_files(self._folder)
        total = sum(file.stat().st_size for file in files)
        for file in files[:-1]:
            if total <= self._max_bytes:
                return
            total -= file.stat().st_size
            file.unlink()


def trace_files(folder: Path) -> list[Path]:
    """The files of a trace, by iteration."""
    return sorted(folder.glob("iteration-*.jsonl.zst"))


def iteration_of(file: Path) -> int:
    """The iteration whose completions are in a trace's file."""
    return int(file.name.removeprefix("iteration-").partition(".")[0])


def read_trace(files: Sequence[Path]) -> Iterator[TraceEntry]:
    """The completions in these files, one at a time."""
    for file in files:
        with file.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            for line in stream.readall().splitlines():
                yield _ENTRY.validate_json(line)


def spread(samples: Sequence[tuple[Group, Sample]], count: int) -> list[tuple[Group, Sample]]:
    """`count` judged completions, evenly spaced from the worst reward to the best."""
    judged = [(sample.scored.reward.total, group, sample) for group, sample in samples if sample.scored]
    judged.sort(key=lambda entry: entry[0])
    if count < 2 or len(judged) <= count:
        return [(group, sample) for _, group, sample in judged[-count:] if count]
    places = [round(step * (len(judged) - 1) / (count - 1)) for step in range(count)]
    return [judged[place][1:] for place in places]


def _entry(iteration: int, group: Group, sample: Sample) -> TraceEntry:
    done, task = sample.completion, group.task
    return TraceEntry(
        iteration=iteration,
        group=group.index,
        task=task.id,
        family=task.family,
        function=task.problem.entry,
        prompt=task.prompt,
        completion=sample.text,
        source=sample.source,
        tokens=len(done.token_ids),
        finish_reason=done.finish_reason,
        versions=done.versions,
        logprob=sum(done.logprobs),
        verdict=sample.verdict,
    )

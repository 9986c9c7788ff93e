"""The trace: every completion, whole files, bounded."""

from __future__ import annotations

from pathlib import Path

from grpo_builders import make_group

from trainer.grpo.trace import Trace, iteration_of, read_trace, trace_files


def test_a_trace_keeps_every_completion_and_a_repeated_iteration_replaces_its_own(tmp_path: Path):
    groups = [make_group(index, [1.0, 20.0, None], [3, 4, 5]) for index in (4, 5)]
    trace = Trace(tmp_path)
    trace.write(1, groups)
    trace.write(2, groups, count=2)
    trace.write(1, groups)
    assert [iteration_of(file) for file in trace_files(tmp_path)] == [1, 2]
    entries = list(read_trace(trace_files(tmp_path)[:1]))
    assert [(entry.group, entry.scored and entry.scored.reward.total) for entry in entries] == [
        (index, reward) for index in (4, 5) for reward in (1.0, 20.0, None)
    ]
    assert [entry.verdict for entry in entries[:3]] == [sample.verdict for sample in groups[0].samples]
    worst, best = read_trace(trace_files(tmp_path)[1:])
    assert worst.scored and best.scored and worst.scored.reward.total < best.scored.reward.total


def test_the_oldest_iterations_go_when_the_disk_is_bounded(tmp_path: Path):
    groups = [make_group(0, [1.0, 20.0], [3, 4])]
    Trace(tmp_path).write(1, groups)
    size = trace_files(tmp_path)[0].stat().st_size
    trace = Trace(tmp_path, max_bytes=int(2.5 * size))
    for iteration in range(2, 6):
        trace.write(iteration, groups)
    assert [iteration_of(file) for file in trace_files(tmp_path)] == [4, 5]

"""Samples on disk: torn lines, a process killed in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from reward_farm.verdict import CaseResult, Diagnostic, InfraFault, Outcome, RewardBreakdown, Scored, SyntaxMetrics
from trainer.evaluation.journal import Journal, read_samples, write_samples
from trainer.evaluation.sample import Mode, Sample
from trainer.tasks.task import Split


def sample(key: str, verdict: object = None) -> Sample:
    scored = Scored(
        key,
        Outcome.TEST_FAILED,
        RewardBreakdown(4, 6, 0.75, 4, 0),
        diagnostics=(Diagnostic("warning", "unused_variables", "unused `é`\n<b>", 2, 9),),
        cases=(CaseResult("passed", "1"), CaseResult("failed", 'Some("x")')),
        metrics=SyntaxMetrics(3, 1, 1, True, False, 0, 1.5, 1),
        isolation=("bwrap",),
    )
    return Sample(
        key, "t1", "sums", Split.UNSEEN_TASKS, Mode.SAMPLED, 0, "fn f() {", "\n}\n", 3, False, verdict or scored
    )


def test_a_sample_comes_back_as_it_was(tmp_path: Path):
    samples = [sample("a"), sample("b", InfraFault("b", "worker died"))]
    write_samples(tmp_path / "x.jsonl", samples)
    assert list(read_samples(tmp_path / "x.jsonl").values()) == samples


def test_a_torn_last_line_is_cut_off_and_the_rest_kept(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    write_samples(path, [sample("a"), sample("b")])
    whole = path.read_bytes()
    for cut in (1, 40, len(whole) // 2 - 3):
        path.write_bytes(whole[:-cut])
        assert list(read_samples(path)) == ["a"]
    with Journal(path) as journal:
        journal.append(sample("c"))
    assert list(read_samples(path)) == ["a", "c"]
    assert path.read_bytes().count(b"\n") == 2


def test_rotten_lines_are_left_out_and_the_last_word_counts(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    write_samples(path, [sample("a", InfraFault("a", "disk")), sample("b")])
    with path.open("ab") as file:
        file.write(b'{"key": "z"}\nnot json\n\xff\xfe\n')
    with Journal(path) as journal:
        journal.append(sample("a"))
    found = read_samples(path)
    assert list(found) == ["a", "b"]
    assert found["a"].scored is not None


def test_what_was_flushed_survives_sigkill(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[3])]!r}
from pathlib import Path
from test_evaluation_journal import Journal, sample
journal = Journal(Path({str(path)!r}))
for n in range(10_000):
    journal.append(sample(str(n)))
    if n == 64: print("ready", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    keys = list(read_samples(path))
    assert len(keys) >= 65  # all that were appended before it said so, synced or not
    assert keys == [str(n) for n in range(len(keys))]

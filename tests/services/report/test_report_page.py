"""The page of a run: whole, safe, self-contained, and saying what was measured."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_runs import HOSTILE, RATES, TASKS, write_evaluation, write_metrics

from services.errors import RunFolderError
from services.report.headline import headline
from services.report.markdown import terminal_table
from services.report.record import read_run
from services.report.report import write_report
from services.run_folder import RunFolder
from trainer.evaluation.evaluation import load_evaluation
from trainer.tasks.task import Split

VOID = {"meta", "br", "img", "input", "line", "circle", "rect", "path", "polyline"}


class Page(HTMLParser):
    """Fails on tags that don't balance; collects text and what would load something."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [
            f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        self.loads += [f"{name}={value}" for name, value in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(run: RunFolder) -> Page:
    return Page(write_report(run.root).read_text())


def test_the_page_is_whole_loads_nothing_and_runs_nothing(finished_run: RunFolder):
    path = write_report(finished_run.root)
    assert path == finished_run.root / "report" / "index.html"
    html = path.read_text()
    page = Page(html)
    assert page.loads == []
    assert page.tags.isdisjoint({"script", "iframe", "link", "img", "object", "embed"})
    assert not re.search(r"@import|url\(|https?://(?!localhost:8080/)", html)
    assert "$" not in re.sub(r"<code>.*?</code>", "", html, flags=re.S)


def test_model_text_is_shown_and_never_markup(finished_run: RunFolder):
    html = write_report(finished_run.root).read_text()
    assert "<script" not in html and "<img" not in html and "<b>9" not in html
    text = Page(html).text
    for line in HOSTILE.strip().splitlines():
        assert line in text
    assert "error[E0308]: expected `<T>`, found `&str`" in text
    assert "it gave <b>9</b>" in text


def test_figures_on_the_page_are_those_of_the_evaluation(finished_run: RunFolder):
    text = page_of(finished_run).text
    for label, (compiled, passed) in RATES.items():
        evaluation, _ = load_evaluation(finished_run.evaluation / f"{label}.json")
        group = evaluation.group(Split.UNSEEN_TASKS)
        assert group is not None
        found = group.figures["compile_rate"]
        assert found.value == compiled / TASKS
        assert f"{100 * compiled / TASKS:.1f} %[{100 * found.low:.1f}, {100 * found.high:.1f}]" in text
        assert f"{100 * passed / TASKS:.1f} %[" in text
    # The headline: 8 of 20 became 15 of 20; RL lost task 0 and gained eight: p of McNemar's exact test on 8 against 1.
    assert "compile rate from 40.0 % to 75.0 % (+35.0 points [" in text
    assert f"p = {2 * 10 / 2**9:.3f}" in text
    assert "did not measurably change the test-pass rate from 20.0 % to 45.0 %" in text
    for shown in ("1m01s", "2m05s", "1.6 MB", "0.9969", "E0308", "rustc 1.90.0", "cdcdcdcd", "hidden_size = 256"):
        assert shown in text


def test_losses_stand_beside_gains(finished_run: RunFolder):
    html = write_report(finished_run.root).read_text()
    kinds = re.findall(r'class="badge (gained|lost|both-fail|both-pass)"', html)
    assert set(kinds) == {"gained", "lost", "both-fail", "both-pass"}
    assert kinds.index("gained") < kinds.index("lost")


def test_curves_hold_every_row_and_long_runs_stay_small(start_run: Callable[[], RunFolder]):
    run = start_run()
    write_metrics(run.root, steps=40)
    html = write_report(run.root).read_text()
    loss = re.search(r"loss: last.*?points=\"([^\"]*)\"", html, re.S)
    assert loss is not None and len(loss.group(1).split()) == 40
    assert re.search(r"training tasks: last 60\.0 %", html)
    (run.root / "metrics.jsonl").unlink()
    write_metrics(run.root, steps=13_000)
    assert write_report(run.root).stat().st_size < 400_000


def test_what_is_missing_is_said(start_run: Callable[[], RunFolder]):
    run = start_run()
    text = page_of(run).text
    assert "Nothing can be said about RL yet" in text
    assert "It has not finished: corpus, base, supervised, rl, evaluation, export" in text
    assert "no evaluation/supervised.json" in text
    write_evaluation(run.root, "supervised")
    text = page_of(run).text
    assert "no evaluation/supervised.json" not in text
    assert "40.0 %" in text


def test_damaged_files_are_named_not_crashed_on(finished_run: RunFolder):
    (finished_run.evaluation / "rl.json").write_text('{"label": "rl"')
    (finished_run.root / "state" / "export.json").write_text("{")
    with finished_run.metrics_file.open("a") as file:
        file.write('{"phase": "rl", "st')
    page = page_of(finished_run)
    assert "rl.json can't be read as an evaluation" in page.text
    assert "export.json is corrupt" in page.text
    assert "Reward (of 30)" in page.text


def test_another_folder_is_refused(tmp_path: Path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_markdown_and_terminal_say_the_same(finished_run: RunFolder):
    write_report(finished_run.root)
    record = read_run(finished_run.root)
    text = (finished_run.root / "report" / "summary.md").read_text()
    assert headline(record) in text
    assert re.search(r"\| unseen tasks \| RL \(GRPO\) \| 100\.0 % .*\| 75\.0 % ", text)
    assert terminal_table(record).row_count == 6


def test_a_loss_is_called_a_loss(start_run: Callable[[], RunFolder]):
    run = start_run()
    for label in ("rl", "supervised"):
        write_evaluation(run.root, label)
    for suffix in ("json", "jsonl"):
        (run.evaluation / f"rl.{suffix}").rename(run.evaluation / f"swap.{suffix}")
        (run.evaluation / f"supervised.{suffix}").rename(run.evaluation / f"rl.{suffix}")
        (run.evaluation / f"swap.{suffix}").rename(run.evaluation / f"supervised.{suffix}")
    assert "GRPO lowered the compile rate from 75.0 % to 40.0 %" in headline(read_run(run.root))

"""The report of one evaluation and of two: paired, safe, in four forms, and said plainly where it can't be made."""

from __future__ import annotations

import json
import subprocess
import sys
from math import comb
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_runs import HOSTILE, TASKS, write_evaluation
from test_report_page import Page

from services.errors import UserError
from services.report.evaluation.report import write_evaluation_report
from services.report.evaluation.results import read_results
from services.report.evaluation.summary import headline, moved
from trainer.evaluation.compare import Standing
from trainer.evaluation.errors import ResultsUnreadable
from trainer.evaluation.journal import read_samples, write_samples
from trainer.evaluation.statistics import mcnemar_p
from trainer.tasks.task import Split

SPLITS = 2


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    for label in ("supervised", "rl"):
        write_evaluation(root, label)
    return root / "evaluation"


def test_mcnemar_is_the_two_sided_binomial_test() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1, 9) == pytest.approx(2 * sum(comb(10, k) for k in (0, 1)) / 2**10)
    assert mcnemar_p(9, 1) == mcnemar_p(1, 9)
    assert mcnemar_p(5, 5) == 1.0
    assert mcnemar_p(0, 6) == pytest.approx(2 / 64)


def test_two_results_are_paired_task_by_task(results: Path) -> None:
    paired = read_results([results / "supervised.json", results / "rl.json"])
    assert len(paired.tasks) == SPLITS * TASKS
    # Of each split, RL solves tasks 1 to 9 and supervised 0 to 3.
    kinds = [paired.standings[f"unseen_tasks_{number}"] for number in range(12)]
    assert kinds == [Standing.BROKEN, *[Standing.BOTH_PASS] * 3, *[Standing.FIXED] * 6, *[Standing.BOTH_FAIL] * 2]
    assert paired.mcnemar() == (12, 2, pytest.approx(mcnemar_p(12, 2)))
    assert paired.mcnemar(Split.UNSEEN_TASKS)[:2] == (6, 1)
    assert "75.0 % compile, +35.0 points [" in headline(paired)
    assert "12 are fixed and 2 broken" in (moved(paired) or "")
    assert paired.cautions == []


def test_all_forms_are_written_and_agree(results: Path, tmp_path: Path) -> None:
    page = write_evaluation_report([results / "supervised.json", results / "rl.json"], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html", "report.json", "report.md"]
    summary = json.loads((tmp_path / "report.json").read_text())
    assert summary["mcnemar"]["fixed"] == len(summary["standings"]["fixed"]) == 12
    assert summary["headline"] in (tmp_path / "report.md").read_text()
    assert summary["sides"][1]["splits"]["unseen_tasks"]["compile_rate"]["value"] == 0.75
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suites.attrib["tests"] == str(SPLITS * TASKS) and suites.attrib["failures"] == str(SPLITS * (TASKS - 9))
    cases = {case.attrib["name"]: case for case in suites.iter("testcase")}
    broken = cases["unseen_tasks_0"].find("failure")
    assert broken is not None and broken.attrib["message"].startswith("broken: ")
    assert cases["unseen_tasks_5"].find("failure") is None
    assert summary["headline"] in Page(page.read_text()).text


def test_a_models_text_never_becomes_markup(results: Path, tmp_path: Path) -> None:
    html = write_evaluation_report([results / "rl.json"], tmp_path).read_text()
    page = Page(html)
    assert page.loads == [], "one file, which loads nothing and has no handlers"
    assert "alert('owned')" in html and "<img" not in html and "<script>alert" not in html
    assert html.count("</script>") == 2, "the data's and the script's own"
    data = html.split('id="data">')[1].split("</script>")[0]
    (task, *_) = json.loads(data)["tasks"]
    assert HOSTILE in task["sides"][0]["source"]


def test_characters_that_xml_has_no_form_for_are_replaced(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "odd.jsonl"
    samples = list(read_samples(results / "rl.jsonl").values())
    object.__setattr__(samples[-1], "completion", "\x00\x1b[31m\ufffe ]]>")
    write_samples(copy, samples)
    (tmp_path / "odd.json").write_text((results / "rl.json").read_text())
    write_evaluation_report([tmp_path / "odd.json"], tmp_path / "out")
    ElementTree.parse(tmp_path / "out" / "junit.xml")


def test_what_can_not_be_compared_is_said(results: Path, tmp_path: Path) -> None:
    write_evaluation(tmp_path, "rl")
    other = tmp_path / "evaluation" / "rl.json"
    text = other.read_text().replace("cd" * 32, "ef" * 32).replace("rustc 1.90.0", "rustc 1.95.0")
    other.write_text(text)
    cautious = read_results([results / "rl.json", other])
    assert [side.title for side in cautious.sides] == ["evaluation/rl", "evaluation/rl"]
    assert any("different tasks" in each for each in cautious.cautions)
    assert any("judged differently" in each for each in cautious.cautions)
    samples = [sample for sample in read_samples(results / "rl.jsonl").values() if sample.split is Split.UNSEEN_TASKS]
    for sample in samples:
        object.__setattr__(sample, "task", f"other-{sample.task}")
    write_samples(other.with_suffix(".jsonl"), samples)
    with pytest.raises(UserError, match="have no task in common"):
        read_results([results / "rl.json", other])
    with pytest.raises(ResultsUnreadable, match="can't be read as an evaluation"):
        read_results([results / "none.json"])


def test_the_command_prints_tables_and_writes_the_report(results: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services", "compare", str(results / "supervised.json"), str(results / "rl.json")]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "+35.0 points" in done.stdout and "fixed   unseen_tasks_4: test failed → passed" in done.stdout
    assert "E0308" in done.stdout and str(tmp_path / "report.html") in done.stdout
    missing = subprocess.run([*command[:-1], "none.json"], capture_output=True, text=True, timeout=120)
    assert missing.returncode == 1 and missing.stderr.startswith("error: ") and "Traceback" not in missing.stderr

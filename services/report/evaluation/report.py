"""Writes the report of one evaluation, or of two side by side, in four forms. Measures nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from services.report.evaluation.junit import junit
from services.report.evaluation.page import render
from services.report.evaluation.results import read_results
from services.report.evaluation.summary import markdown, summary_json
from services.run_folder import write_text


def write_evaluation_report(paths: Sequence[Path], out_dir: Path) -> Path:
    """Write `report.html`, `report.md`, `report.json` and `junit.xml` to `out_dir`; returns the page's path.

    Args:
        paths: one `<label>.json`, or two in the order before, after.

    Raises:
        UserError, trainer.evaluation.errors.ResultsUnreadable: as `read_results`.
    """
    results = read_results(paths)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_text(out_dir / "report.json", json.dumps(summary_json(results), indent=1))
    write_text(out_dir / "report.md", markdown(results))
    write_text(out_dir / "junit.xml", junit(results))
    page = out_dir / "report.html"
    write_text(page, render(results))
    return page

"""One page about the whole run."""

from __future__ import annotations

from services.config import RunConfig
from services.events import Reporter
from services.report.report import write_report
from services.run_folder import RunFolder


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:  # noqa: ARG001
    """`report/index.html`."""
    return {"page": run.inside(write_report(run.root))}

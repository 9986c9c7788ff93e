"""Writes the report of a run: one self-contained page, and the same result in Markdown. Measures nothing itself."""

from __future__ import annotations

import time
from pathlib import Path
from string import Template

from services.report import outcomes, pairs, progress, provenance, results
from services.report.headline import against_control, headline
from services.report.markdown import markdown
from services.report.markup import Markup, join, tag
from services.report.record import RunRecord, read_run
from services.run_folder import write_text

PAGE = Path(__file__).with_name("page.html")


def write_report(run_dir: Path) -> Path:
    """Write `report/index.html` and `report/summary.md` of a run, finished or not, and return the page's path.

    What a section needs and the run does not have is said in its place.

    Raises:
        RunFolderError: the folder is not a run's.
    """
    record = read_run(run_dir)
    write_text(run_dir / "report" / "summary.md", markdown(record))
    page = run_dir / "report" / "index.html"
    write_text(page, render(record))
    return page


def render(record: RunRecord) -> str:
    """The page."""
    evaluated = bool(record.evaluations)
    body = join(
        tag("p", f"Ferrotype · {record.root.resolve().name}", class_="eyebrow"),
        tag("h1", headline(record)),
        tag("p", control, class_="lead") if (control := against_control(record)) else None,
        results.tiles(record),
        tag("p", f"Written {time.strftime('%Y-%m-%d %H:%M')}.", class_="faint"),
        [tag("p", f"{gap[0].upper()}{gap[1:]}.", class_="missing") for gap in record.missing],
        _section(
            "Checkpoints",
            "Each checkpoint answered the same tasks, of which training has seen none but those of the last block.",
            evaluated
            and join(
                results.picture(record),
                results.table(record, results.MAIN),
                tag("details", tag("summary", "by family"), results.families(record)),
            ),
        ),
        _section("Training", progress.run_notes(record), record.metrics and progress.training_curves(record)),
        _section("Where completions end", None, evaluated and outcomes.funnel(record)),
        _section("Which errors rustc gives", None, evaluated and outcomes.error_shift(record)),
        _section(
            "How the code reads", None, evaluated and results.table(record, results.STYLE, results.SHOWN_SPLITS[:2])
        ),
        _section(
            "Side by side",
            "The same task before and after RL. What was given to the model is fainter; rustc's words stand under the "
            "line that they speak of.",
            evaluated and pairs.side_by_side(record),
        ),
        _section("Exported model", None, provenance.phase_summary(record, "export")),
        _section("Time", None, provenance.times(record)),
        _section(
            "How this was measured",
            provenance.method(record),
            evaluated and tag("details", tag("summary", "every paired comparison"), results.tests(record)),
        ),
        _section("Going on", None, join(provenance.commands(record), provenance.configuration(record))),
    )
    return Template(PAGE.read_text()).substitute(title=f"Ferrotype: {record.root.resolve().name}", body=body)


def _section(title: str, lead: Markup | str | None, content: Markup | object) -> Markup:
    if isinstance(lead, str) and not isinstance(lead, Markup):
        lead = tag("p", lead, class_="faint")
    shown = (
        content
        if isinstance(content, Markup) and content
        else tag("p", "The run has nothing on this yet.", class_="missing")
    )
    return tag("section", tag("h2", title), lead, shown)

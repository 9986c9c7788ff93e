"""Writes the report of a run: one self-contained page, and the same result in Markdown. Measures nothing itself."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from string import Template

from services.report import outcomes, pairs, progress, provenance, results
from services.report.headline import against_control, effect, headline
from services.report.markdown import markdown
from services.report.markup import Markup, join, tag
from services.report.record import RunRecord, read_run
from services.run_folder import write_text
from trainer.tasks.task import Split

PAGE = Path(__file__).with_name("page.html")
STYLE = Path(__file__).with_name("style.css")

SIDE_BY_SIDE = (
    "The same task before and after RL. What was given to the model is fainter; rustc's words stand under the line "
    "that they speak of."
)


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
    has_results = bool(record.evaluations)
    tiles, control = results.tiles(record), against_control(record)
    body = join(
        tag("p", f"Ferrotype · {record.root.resolve().name}", class_="eyebrow"),
        tag("h1", headline(record)),
        [tag("p", said, class_="lead") for said in (effect(record, Split.UNSEEN_FAMILIES), control) if said],
        tiles,
        tag("p", f"Written {time.strftime('%Y-%m-%d %H:%M')}.", class_="faint"),
        [tag("p", f"{gap[0].upper()}{gap[1:]}.", class_="missing") for gap in record.missing],
        _section(
            "Checkpoints",
            tag("p", "All answered the same tasks. Training has seen only those of the last block.", class_="faint"),
            _checkpoints(record) if has_results else None,
        ),
        _section("Training", progress.run_notes(record), progress.training_curves(record)),
        _section("Where completions end", None, outcomes.funnel(record) if has_results else None),
        _section("Which errors rustc gives", None, outcomes.error_shift(record)),
        _section(
            "How the code reads",
            None,
            results.table(record, results.STYLE, results.SHOWN_SPLITS[:2]) if has_results else None,
        ),
        _section("Side by side", tag("p", SIDE_BY_SIDE, class_="faint"), pairs.side_by_side(record)),
        _section("Exported model", None, provenance.phase_summary(record, "export")),
        _section("Time", None, provenance.times(record)),
        _section("How this was measured", None, _measured(record) if has_results else None),
        _section("Going on", None, join(provenance.commands(record), provenance.configuration(record))),
    )
    return Template(PAGE.read_text()).substitute(
        title=f"Ferrotype: {escape(record.root.resolve().name)}", style=STYLE.read_text(), body=body
    )


def _checkpoints(record: RunRecord) -> Markup:
    families = tag("details", tag("summary", "by family"), results.families(record))
    return join(results.picture(record), results.table(record, results.MAIN), families)


def _measured(record: RunRecord) -> Markup:
    comparisons = tag("details", tag("summary", "every paired comparison"), results.tests(record))
    return join(provenance.method(record), comparisons)


def _section(title: str, lead: Markup | None, content: Markup | None) -> Markup:
    """A section; with nothing to show it says so."""
    nothing = tag("p", "The run has nothing on this yet.", class_="missing")
    return tag("section", tag("h2", title), *((lead, content) if content else (nothing,)))

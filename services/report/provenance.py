"""Where the figures come from, and what to do next: times, export, method, configuration, commands."""

from __future__ import annotations

from services.console import duration
from services.report.markup import Markup, join, tag
from services.report.record import RunRecord


def times(record: RunRecord) -> Markup | None:
    """Each phase's wall time, memory and result."""
    if not record.phases:
        return None
    rows = [
        tag(
            "tr",
            tag("th", name),
            tag("td", duration(phase.seconds), class_="number"),
            tag("td", f"{phase.peak_memory_mb:,} MB" if phase.peak_memory_mb else "–", class_="number"),
        )
        for name, phase in record.phases.items()
    ]
    total = sum(phase.seconds for phase in record.phases.values())
    rows.append(tag("tr", tag("th", "all"), tag("td", duration(total), class_="number"), tag("td"), class_="group"))
    head = tag(
        "tr", tag("th", "phase"), tag("th", "wall time", class_="number"), tag("th", "peak memory", class_="number")
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="wide narrow")


def phase_summary(record: RunRecord, name: str) -> Markup | None:
    """What a phase reported, key by key."""
    phase = record.phases.get(name)
    if phase is None or not phase.summary:
        return None
    rows = [
        tag("tr", tag("th", key.replace("_", " ")), tag("td", _plain(value))) for key, value in phase.summary.items()
    ]
    return tag("div", tag("table", tag("tbody", rows)), class_="wide narrow")


def method(record: RunRecord) -> Markup | None:
    """How checkpoints were measured, with everything needed to measure them again."""
    if not record.evaluations:
        return None
    newest = list(record.evaluations.values())[-1]
    settings = newest.settings
    greedy = ", and the greedy one" if settings.greedy else ""
    told = [
        f"{settings.samples_per_task} completions of each task at temperature {settings.temperature:g}{greedy}, at "
        f"most {settings.max_tokens} tokens, seed {settings.seed}. The tables show the sampled ones. Each was judged "
        "in the sandbox by rustc and the task's hidden cases; training saw none of the unseen tasks.",
        f"Brackets are {settings.confidence:.0%} intervals for new tasks of the same kind: a bootstrap over tasks "
        f"({settings.resamples} draws), or Wilson's where each task has one completion or a rate is 0 or 1. p-values "
        "are two-sided paired permutation tests over tasks (McNemar's exact test where each task has one completion).",
        "Style (iterators, docs, complexity, panics) is measured on completions that compile. “Tasks solved by any "
        "sample” counts a task once if at least one of its sampled completions passes.",
    ]
    rows = [
        ("judge", newest.judged_by),
        ("benchmark SHA-256", newest.benchmark_sha256),
        *(
            (f"{arm.title} checkpoint", f"{found.checkpoint} (SHA-256 {found.checkpoint_sha256[:16]})")
            for arm in record.arms
            if (found := record.evaluations[arm.label])
        ),
        ("not judged, faults of the farm", _faults(record)),
    ]
    table = tag("table", tag("tbody", [tag("tr", tag("th", name), tag("td", value)) for name, value in rows]))
    return join([tag("p", text) for text in told], tag("div", table, class_="wide hashes"))


def _faults(record: RunRecord) -> str:
    faults = {arm.title: sum(record.evaluations[arm.label].faults.values()) for arm in record.arms}
    return ", ".join(f"{title} {count}" for title, count in faults.items() if count) or "none"


def configuration(record: RunRecord) -> Markup | None:
    """The resolved configuration, folded."""
    if record.config is None:
        return None
    return tag("details", tag("summary", "config.toml, every key resolved"), tag("pre", tag("code", record.config)))


def commands(record: RunRecord) -> Markup:
    """What one would type next."""
    root = record.root
    lines = [
        "# serve the model over the OpenAI API",
        f"ferrotype serve --model {root}/checkpoints/production-final/model.gguf --port 8080",
        "# ask it",
        'curl http://localhost:8080/v1/completions -H "Content-Type: application/json" \\',
        """  -d '{"prompt": "/// The larger number.\\nfn larger(a: i32, b: i32) -> i32 {", "max_tokens": 64}'""",
        "# go on from where the run stands",
        f"ferrotype run --run-dir {root}",
    ]
    rl = record.phases.get("rl")
    if rl and (checkpoint := rl.summary.get("checkpoint")):
        lines += ["# measure a checkpoint again", f"ferrotype eval --checkpoint {root / checkpoint}"]
    return tag("pre", tag("code", "\n".join(lines)))


def _plain(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)

"""The same task, answered before and after RL: gains first, then losses, then what neither can do."""

from __future__ import annotations

from dataclasses import dataclass

from reward_farm.verdict import Outcome, Scored
from services.report.markup import Markup, tag
from services.report.record import RunRecord
from services.report.rust_listing import listing
from trainer.evaluation.sample import Mode, Sample
from trainer.tasks.task import Split

SHOWN = {"gained": 4, "lost": 3, "both fail": 2, "both pass": 1}
"""How many of each kind are shown: losses too, for a page of gains alone would mislead."""

RANK = {outcome: rank for rank, outcome in enumerate(Outcome)}

COLORS = {Outcome.PASSED: "passed", Outcome.TEST_FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one task with their verdicts."""

    kind: str
    before: Sample
    after: Sample


def pairs(record: RunRecord) -> list[Pair]:
    """Pairs on unseen tasks and families by kind, with `SHOWN` of each; greedy completions where there are."""
    mode = Mode.GREEDY if any(s.mode is Mode.GREEDY for s in record.samples.get("rl", [])) else Mode.SAMPLED
    before, after = (_first(record.samples.get(label, []), mode) for label in ("supervised", "rl"))
    by_kind: dict[str, list[Pair]] = {kind: [] for kind in SHOWN}
    for task in sorted(before.keys() & after.keys()):
        kind = _kind(before[task], after[task])
        by_kind[kind].append(Pair(kind, before[task], after[task]))
    return [pair for kind, count in SHOWN.items() for pair in _varied(by_kind[kind])[:count]]


def _first(samples: list[Sample], mode: Mode) -> dict[str, Sample]:
    return {s.task: s for s in samples if s.mode is mode and s.index == 0 and s.scored and s.split is not Split.TRAIN}


def _kind(before: Sample, after: Sample) -> str:
    left, right = (RANK[sample.scored.outcome] if sample.scored else 0 for sample in (before, after))
    if left == right:
        return "both pass" if right == RANK[Outcome.PASSED] else "both fail"
    return "gained" if right > left else "lost"


def _varied(found: list[Pair]) -> list[Pair]:
    """One of each family before a second of any; those that end in a pass, or began with one, first."""
    found = sorted(found, key=lambda p: not (_passed(p.before) or _passed(p.after)))
    seen: dict[str, int] = {}
    turns = []
    for place, pair in enumerate(found):
        turn = seen[pair.after.family] = seen.get(pair.after.family, -1) + 1
        turns.append((turn, place, pair))
    return [pair for _, _, pair in sorted(turns, key=lambda entry: entry[:2])]


def _passed(sample: Sample) -> bool:
    return sample.scored is not None and sample.scored.passed


def side_by_side(record: RunRecord) -> Markup | None:
    """All pairs as cards."""
    cards = [_card(pair) for pair in pairs(record)]
    return tag("div", cards) if cards else None


def _card(pair: Pair) -> Markup:
    sample = pair.after
    title = tag(
        "header",
        tag("b", sample.task),
        tag("span", pair.kind, class_=f"badge {pair.kind.replace(' ', '-')}"),
        tag("span", f"{sample.split.value.replace('_', ' ')}, family {sample.family}", class_="faint"),
    )
    sides = [_side("Supervised", "supervised", pair.before), _side("RL (GRPO)", "rl", pair.after)]
    return tag("article", title, tag("div", sides, class_="sides"), class_="card")


def _side(title: str, color: str, sample: Sample) -> Markup:
    scored = sample.scored
    assert scored is not None  # unjudged samples make no pair
    head = tag(
        "div",
        tag("i", "", class_="dot", style=f"background:var(--{color})"),
        tag("b", title),
        tag("span", scored.outcome.value.replace("_", " "), class_=f"badge {COLORS.get(scored.outcome, 'uncompiled')}"),
        tag("span", _reward(scored), class_="faint"),
        class_="side-head",
    )
    source = sample.prompt + sample.completion
    given = sample.prompt.count("\n") + sample.completion.startswith("\n")
    return tag("section", head, listing(source, scored.diagnostics, given=given), _cases(scored))


def _reward(scored: Scored) -> str:
    cheat = f", cheat: {scored.cheat}" if scored.cheat else ""
    return f"reward {scored.reward.total:.1f} of 30{cheat}"


def _cases(scored: Scored) -> Markup | None:
    if not scored.cases:
        return None
    passed = sum(case.status == "passed" for case in scored.cases)
    wrong = next((case for case in scored.cases if case.status != "passed"), None)
    example = "" if wrong is None else f"; one {wrong.status}" + (f", it gave {wrong.got}" if wrong.got else "")
    return tag("p", f"{passed} of {len(scored.cases)} hidden cases passed{example}.", class_="faint")

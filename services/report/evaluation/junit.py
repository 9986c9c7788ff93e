"""An evaluation as JUnit XML, for CI systems: a suite a split, a test case a task, its failure rustc's own words."""

from __future__ import annotations

import re
from collections import defaultdict
from xml.etree import ElementTree

from services.report.evaluation.results import Results
from trainer.evaluation.sample import Sample

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no form for; a model may well write them."""
MOST_TEXT = 4000


def junit(results: Results) -> str:
    """The last side's representative answer of each task. A task that it broke says so."""
    side = results.last
    by_split: dict[str, list[Sample]] = defaultdict(list)
    for task in results.tasks:
        sample = results.representatives[-1][task]
        by_split[sample.split.value].append(sample)
    failed = {sample.task for samples in by_split.values() for sample in samples if not _passes(sample)}
    root = ElementTree.Element("testsuites", name=_clean(side.title), tests=str(len(results.tasks)),
                               failures=str(len(failed)), errors="0")  # fmt: skip
    for split, samples in by_split.items():
        suite = ElementTree.SubElement(
            root, "testsuite", name=split, tests=str(len(samples)), errors="0", skipped="0",
            failures=str(sum(sample.task in failed for sample in samples)),
            time=f"{sum(sample.latency_ms for sample in samples) / 1000:.3f}",
        )  # fmt: skip
        for sample in samples:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{split}.{_clean(sample.family)}", name=_clean(sample.task),
                time=f"{sample.latency_ms / 1000:.3f}",
            )  # fmt: skip
            if sample.task in failed:
                _fail(case, sample, results.standings.get(sample.task))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _fail(case: ElementTree.Element, sample: Sample, standing: str | None) -> None:
    scored = sample.scored
    assert scored is not None  # representatives are judged
    said = [
        f"{d.level}{f'[{d.code}]' if d.code else ''} at {d.line}:{d.column}: {d.message}" for d in scored.diagnostics
    ]
    said += [f"case {n} {each.status}: {each.got}" for n, each in enumerate(scored.cases, 1) if each.status != "passed"]
    source = sample.source or sample.prompt + sample.completion
    first = said[0].partition("\n")[0] if said else scored.outcome.value
    message = f"{standing}: {first}" if standing == "broken" else first
    failure = ElementTree.SubElement(case, "failure", type=scored.outcome.value, message=_clean(message))
    failure.text = _clean("\n".join([*said, "", source])[:MOST_TEXT])


def _passes(sample: Sample) -> bool:
    return sample.scored is not None and sample.scored.passed


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

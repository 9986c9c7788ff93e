"""The dashboard: current, sound, and naming only what exists."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest

from reward_farm.metrics import METRICS as FARM_METRICS
from services.dashboards import PANELS, TRAINING, Panel, dashboard, query, render
from services.metrics import declared, undeclared
from services.pipeline import PHASES


def test_the_dashboard_file_is_what_the_code_writes() -> None:
    assert TRAINING.read_text() == render(), "run: python -m services.dashboards"


def test_every_query_names_only_declared_metrics() -> None:
    known = declared()
    panels = json.loads(TRAINING.read_text())["panels"]
    targets = [target for panel in panels if panel["type"] != "row" for target in panel["targets"]]
    assert len(targets) > 10
    for target in targets:
        assert "ray_ferrotype_" in target["expr"]
        assert not list(undeclared(target["expr"], known)), target["expr"]


def test_a_name_that_nothing_exports_is_caught() -> None:
    known = declared()
    assert list(undeclared("max(ray_ferrotype_reward_maen)", known)) == ["ray_ferrotype_reward_maen"]
    histogram = next(metric for metric in known.values() if metric.kind == "histogram")
    assert not list(undeclared(query(histogram), known))
    assert list(undeclared(f"sum(ray_{histogram.name})", known)), "a histogram has only parts"
    with pytest.raises(KeyError):
        dashboard([Panel("wrong", ["ferrotype_reward_maen"])], known)


def test_every_metric_of_the_farm_is_on_the_dashboard() -> None:
    shown = TRAINING.read_text()
    assert not [metric.name for metric in FARM_METRICS if f"ray_{metric.name}" not in shown]


def test_metrics_are_declared_by_the_rules() -> None:
    for metric in declared().values():
        assert re.fullmatch(r"ferrotype_[a-z0-9_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.kind in ("counter", "gauge", "histogram")
        assert metric.help.endswith(".")


def test_panels_have_room_of_their_own() -> None:
    board = dashboard(PANELS, declared())
    assert len({panel["id"] for panel in board["panels"]}) == len(PANELS)
    for one, two in combinations((panel["gridPos"] for panel in board["panels"]), 2):
        apart_x = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert apart_x or apart_y


def test_pipeline_phases_have_their_files() -> None:
    folder = Path(__file__).parents[2] / "services" / "phases"
    assert all((folder / f"{phase.name}.py").exists() for phase in PHASES)

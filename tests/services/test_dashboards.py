"""The dashboard and the manifests: current, sound, and naming only what exists."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from reward_farm.metrics import METRICS as FARM_METRICS
from services.dashboards import PANELS, TRAINING, Panel, dashboard, query, render
from services.metrics import declared, undeclared
from services.pipeline import PHASES

K8S = Path(__file__).parents[2] / "k8s"


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


def test_the_job_runs_this_command_line_on_a_cluster_of_the_locked_ray() -> None:
    job = _manifest("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = job["spec"]["entrypoint"].split()
    assert words[:4] == ["python", "-m", "services", "run"]
    assert words[words.index("--preset") + 1] == "embedded"
    _check_cluster(job["spec"]["rayClusterSpec"])


def test_the_service_deploys_this_application() -> None:
    from ray.serve.schema import ServeDeploySchema

    from serve.app import build
    from serve.settings import ServeSettings

    service = _manifest("rayservice.yaml")
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    deployed = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"])).applications[0]
    assert deployed.import_path == f"{build.__module__}:{build.__name__}"
    assert ServeSettings.model_validate(deployed.args).model.name == "model.gguf"
    _check_cluster(service["spec"]["rayClusterConfig"])


def test_pipeline_phases_have_their_files() -> None:
    folder = Path(__file__).parents[2] / "services" / "phases"
    assert all((folder / f"{phase.name}.py").exists() for phase in PHASES)


def _manifest(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((K8S / name).read_text())
    return manifest


def _check_cluster(cluster: dict[str, Any]) -> None:
    lock = (K8S.parent / "requirements" / "cpu.lock").read_text()
    assert f"ray=={cluster['rayVersion']}\n" in lock
    claim = yaml.safe_load((K8S / "runs.yaml").read_text())["metadata"]["name"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        names = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            assert container["resources"]["limits"]["memory"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert str(ports["metrics"]) == group["rayStartParams"]["metrics-export-port"]
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= names.keys()
        if "runs" in names:
            assert names["runs"]["persistentVolumeClaim"]["claimName"] == claim

"""Every overlay is what Kubernetes, KubeRay and the Prometheus operator take, to the last field."""

from __future__ import annotations

import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from crd_schemas import complaints, validators
from kustomized import BUILDS, build, one

from services.manifests import ALERTS, GRAFANA, rendered

KUBERNETES = "1.34"


def errors(resource: dict[str, Any]) -> list[str]:
    """By its own strict schema; a pod template inside a custom resource also by Kubernetes's."""
    if (resource["apiVersion"], resource["kind"]) in validators():
        return complaints(resource)
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [error.message]
    return []


@pytest.mark.parametrize("name", BUILDS)
def test_every_resource_is_valid_to_the_last_field(name: str) -> None:
    resources = build(name)
    assert {f"{each['kind']} {each['metadata']['name']}": errors(each) for each in resources if errors(each)} == {}
    names = [(each["kind"], each["metadata"]["name"]) for each in resources]
    assert len(set(names)) == len(names)
    cluster_wide = {"Namespace", "RuntimeClass"}
    assert {each["metadata"].get("namespace") for each in resources if each["kind"] not in cluster_wide} == {
        "ferrotype"
    }


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0), "minReplica"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec"), "securityContex"),
        (("spec",), "entryPoint"),
    ],
)
def test_a_slip_in_a_custom_resource_is_caught(path: tuple[str | int, ...], wrong: str) -> None:
    job = deepcopy(one("cpu-dev", "RayJob"))
    assert complaints(job) == []
    place: Any = job
    for step in path:
        place = place[step]
    place[wrong] = 1
    [found] = complaints(job)
    assert wrong in found


def test_a_slip_in_a_resource_of_kubernetes_is_caught() -> None:
    budget = deepcopy(next(each for each in build("cpu-dev") if each["kind"] == "PodDisruptionBudget"))
    assert errors(budget) == []
    budget["spec"]["minAvailabel"] = budget["spec"].pop("minAvailable")
    assert errors(budget)


def test_a_run_brings_its_own_cluster_or_there_is_one_that_stands() -> None:
    for overlay in ("cpu-dev", "single-gpu", "multi-gpu"):
        run, standing = build(overlay), build(f"{overlay}/cluster")
        assert [each["kind"] for each in run if each["kind"].startswith("Ray")] == ["RayJob"]
        assert [each["kind"] for each in standing if each["kind"].startswith("Ray")] == ["RayCluster"]
        assert one(overlay, "RayJob")["spec"]["rayClusterSpec"] == one(f"{overlay}/cluster", "RayCluster")["spec"]
        walls = {"NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "ServiceAccount", "LimitRange"}
        assert walls <= {each["kind"] for each in run} & {each["kind"] for each in standing}


def test_files_that_follow_from_others_are_current() -> None:
    for path, text in rendered().items():
        assert path.read_text() == text, "run: python -m services.manifests"


def test_each_dashboard_is_a_config_map_that_grafana_looks_for() -> None:
    maps = [each for each in build("cpu-dev") if "grafana_dashboard" in each["metadata"].get("labels", {})]
    shown = {file: text for each in maps for file, text in each["data"].items()}
    assert shown == {path.name: path.read_text() for path in GRAFANA.glob("*.json")}
    assert len(shown) == len(maps) > 0
    assert all(sum(map(len, each["data"].values())) < 1_000_000 for each in maps), "Kubernetes takes 1 MiB"


def test_the_operators_rules_are_prometheus_own(tmp_path: Path) -> None:
    rule = one("cpu-dev", "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    assert rule["metadata"]["labels"] == one("cpu-dev", "PodMonitor")["metadata"]["labels"] == {"release": "prometheus"}
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr

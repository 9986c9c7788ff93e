"""The manifests as `kubectl kustomize` makes them, and the pods in them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).parents[2] / "k8s"
OVERLAYS = ("cpu-dev", "single-gpu", "multi-gpu")
BUILDS = tuple(f"{overlay}{part}" for overlay in OVERLAYS for part in ("", "/cluster", "/serving"))
HOLDERS = ("rayClusterSpec", "rayClusterConfig")
"""Where a RayJob and a RayService have the spec of their cluster."""
OLDEST = (4, 5)
"""Of kustomize: `labels`, components and whole trees as replacements."""


@cache
def _why_not() -> str:
    if shutil.which("kubectl") is None:
        return "there is no kubectl"
    said = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, timeout=60).stdout
    version = json.loads(said).get("kustomizeVersion", "v0.0")
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < OLDEST:
        return f"this kubectl has kustomize {version}, and {OLDEST[0]}.{OLDEST[1]} is needed (kubectl 1.25)"
    return ""


@cache
def _built(folder: Path) -> str:
    if why := _why_not():
        pytest.skip(why)
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return done.stdout


def build(name: str) -> list[dict[str, Any]]:
    """All resources of an overlay, or of a part of it."""
    return [each for each in yaml.safe_load_all(_built(K8S / "overlays" / name)) if each]


def one(name: str, kind: str) -> dict[str, Any]:
    """The build's only resource of this kind."""
    [found] = [each for each in build(name) if each["kind"] == kind]
    return found


@dataclass(frozen=True)
class Group:
    """Pods of one kind: a group of a Ray cluster, or who submits its job."""

    name: str
    template: dict[str, Any]
    start: dict[str, str]

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.template["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def container(self) -> dict[str, Any]:
        container: dict[str, Any] = self.pod["containers"][0]
        return container

    @property
    def resources(self) -> dict[str, float]:
        """Custom resources, quoted twice as KubeRay wants them."""
        custom: dict[str, float] = json.loads(json.loads(self.start.get("resources", '"{}"')))
        return custom


def cluster(name: str) -> dict[str, Any]:
    """The spec of the build's Ray cluster, whichever resource holds it."""
    found = []
    for each in build(name):
        if each["kind"] == "RayCluster":
            found.append(each["spec"])
        found += [each["spec"][key] for key in HOLDERS if key in each.get("spec", {})]
    [spec] = found
    return dict(spec)


def groups(name: str) -> Iterator[Group]:
    """Head, workers, and the job's submitter."""
    spec = cluster(name)
    yield Group("head", spec["headGroupSpec"]["template"], spec["headGroupSpec"]["rayStartParams"])
    for each in spec["workerGroupSpecs"]:
        yield Group(each["groupName"], each["template"], each["rayStartParams"])
    for each in build(name):
        if each["kind"] == "RayJob":
            yield Group("submitter", each["spec"]["submitterPodTemplate"], {})


def group(name: str, which: str) -> Group:
    """One of them."""
    return next(each for each in groups(name) if each.name == which)

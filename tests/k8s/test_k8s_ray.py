"""What the manifests say to Ray and to us: Ray's own autoscaler reads the cluster, our own parsers the commands."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from kustomized import BUILDS, K8S, OVERLAYS, cluster, group, groups, one

from services.config import RunConfig, resolve

ROOT = K8S.parent


def configured(overlay: str, tmp_path: Path) -> RunConfig:
    """The overlay's run, as its job resolves it."""
    words = shlex.split(one(overlay, "RayJob")["spec"]["entrypoint"])
    assert words[words.index("--config") + 1] == "/etc/ferrotype/run.toml"
    pod = group(overlay, "learner").pod
    volume = next(each for each in pod["volumes"] if each["name"] == "settings")
    assert {"name": "settings", "mountPath": "/etc/ferrotype", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert volume["configMap"]["name"] == "ferrotype-run"
    file = tmp_path / "run.toml"
    file.write_text((K8S / "overlays" / overlay / "cluster" / "run.toml").read_text())
    return resolve(words[words.index("--preset") + 1], file)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_job_runs_a_command_of_ours_where_the_learner_is(overlay: str, tmp_path: Path) -> None:
    from services.cli import app

    spec = one(overlay, "RayJob")["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:2] == ["ferrotype", "run"]
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    command.make_context("run", words[2:])
    assert json.loads(spec["entrypointResources"]).items() <= group(overlay, "learner").resources.items()
    config = configured(overlay, tmp_path)
    on_gpu = config.pretrain.device.startswith("cuda")
    assert ("nvidia.com/gpu" in group(overlay, "learner").container["resources"]["limits"]) == on_gpu
    beside = 0.0 if config.rollout.node_resource else config.rollout.replicas * config.rollout.gpus_per_replica
    assert spec.get("entrypointNumGpus", 0) + beside <= float(on_gpu), "driver and engines share the learner's card"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_groups_have_what_the_run_asks_ray_for(overlay: str, tmp_path: Path) -> None:
    config = configured(overlay, tmp_path)
    workers = {each["groupName"]: each for each in cluster(overlay)["workerGroupSpecs"]}
    resource = config.farm.node_resource
    assert resource is not None
    having = [each for each in groups(overlay) if resource in each.resources]
    assert [each.name for each in having] == ["compiler"]
    assert having[0].start["num-cpus"] == "0", "only who asks for the resource may come"
    assert "nvidia.com/gpu" not in having[0].container["resources"]["limits"]
    assert workers["compiler"]["minReplicas"] == 0, "it is scaled by what the farm asks for"
    assert config.farm.workers <= workers["compiler"]["maxReplicas"] * having[0].resources[resource]
    assert config.farm.start_seconds < config.grpo.rollout_deadline_seconds
    if config.rollout.node_resource is None:
        assert "rollout" not in workers
    else:
        assert config.rollout.node_resource in group(overlay, "rollout").resources
        assert config.rollout.replicas <= workers["rollout"]["maxReplicas"]
        assert group(overlay, "rollout").container["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("name", BUILDS)
def test_rays_autoscaler_reads_the_cluster(name: str) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    resource = {"metadata": {"name": "ferrotype", "namespace": "ferrotype"}, "spec": cluster(name)}
    found: dict[str, Any] = _derive_autoscaling_config_from_ray_cr(resource)
    types = found["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    compiler = types["compiler"]
    assert compiler["resources"]["CPU"] == 0 and compiler["resources"]["compiler"] >= 1
    assert compiler["min_workers"] == 0 < compiler["max_workers"]
    assert not [each for each, one_type in types.items() if each != "compiler" and "compiler" in one_type["resources"]]


@pytest.mark.parametrize("name", BUILDS)
def test_ray_knows_its_options_and_is_the_locked_one(name: str) -> None:
    from ray.scripts.scripts import start

    options = {option for parameter in start.params for option in parameter.opts}
    for each in groups(name):
        assert {f"--{key}" for key in each.start} <= options
        ports = {port["name"]: port["containerPort"] for port in each.container.get("ports", [])}
        if each.start:
            assert str(ports["metrics"]) == each.start["metrics-export-port"]
    assert f"ray=={cluster(name)['rayVersion']}\n" in (ROOT / "requirements" / "cpu.lock").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_deploys_this_application_with_what_the_run_made(overlay: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    from serve.app import build
    from serve.settings import ServeSettings

    text = one(f"{overlay}/serving", "RayService")["spec"]["serveConfigV2"]
    deployed = ServeDeploySchema.model_validate(yaml.safe_load(text)).applications[0]
    assert deployed.import_path == f"{build.__module__}:{build.__name__}"
    settings = ServeSettings.model_validate(deployed.args)
    words = shlex.split(one(overlay, "RayJob")["spec"]["entrypoint"])
    assert settings.model.is_relative_to(words[words.index("--run-dir") + 1])
    assert (
        settings.farm is not None and settings.farm.node_resource in group(f"{overlay}/serving", "compiler").resources
    )


def test_the_image_has_what_pods_need_and_is_not_root() -> None:
    text = (K8S / "Dockerfile").read_text()
    assert text.rstrip().endswith("USER 1000:1000")
    assert all(re.search(r":\d+\.\d+\.\d+", line) for line in text.splitlines() if line.startswith("FROM"))
    assert {"bubblewrap", "gcc", "wget"} <= set(text.split())
    removed = set(re.search(r"pip uninstall --yes (.*)", text)[1].split())  # type: ignore[index]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: {re.split(r"[=<>\[]", each)[0] for each in found} for name, found in
              project["optional-dependencies"].items()}  # fmt: skip
    assert removed <= extras.pop("dev")
    assert not removed & set().union(*extras.values())
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / each).exists() for each in kept)
    assert {"services", "trainer", "rollout", "reward_farm", "serve", "requirements", "pyproject.toml"} <= set(kept)

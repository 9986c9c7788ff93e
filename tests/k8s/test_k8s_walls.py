"""What the strict schemas don't say: no pod is root, unbounded, trusted by Kubernetes or open to the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from kustomized import BUILDS, OVERLAYS, Group, build, cluster, group, groups

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
PINNED = re.compile(r"^[a-z0-9./-]+:\d+\.\d+\.\d+$")


def found(name: str) -> Iterator[Group]:
    seen = list(groups(name))
    assert {"head", "compiler"} <= {each.name for each in seen}
    yield from seen


@pytest.mark.parametrize("name", BUILDS)
def test_every_container_is_restricted_and_bounded(name: str) -> None:
    for each in found(name):
        security = each.pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] >= 1000 and security["runAsGroup"] >= 1000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & each.pod.keys()
        containers = [*each.pod["containers"], *each.pod.get("initContainers", [])]
        if each.name == "head":
            options = cluster(name)["autoscalerOptions"]
            containers.append({"name": "autoscaler", "image": "ray:2.60.0", **options})
        for container in containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True, container["name"]
            assert own["capabilities"] == {"drop": ["ALL"]} and not own.get("privileged")
            limits = container["resources"]["limits"]
            assert {"cpu", "memory", "ephemeral-storage"} <= limits.keys(), container["name"]
            assert PINNED.match(container["image"]), container["image"]


@pytest.mark.parametrize("name", BUILDS)
def test_kubernetes_trusts_no_container_but_the_autoscaler(name: str) -> None:
    for each in found(name):
        assert each.pod["automountServiceAccountToken"] is False
        for container in each.pod["containers"]:
            assert not [mount for mount in container["volumeMounts"] if mount["mountPath"].startswith(TOKEN)]
        tokens = [volume for volume in each.pod["volumes"] if "serviceAccountToken" in str(volume)]
        assert [volume["name"] for volume in tokens] == (["kubernetes"] if each.name == "head" else [])
    mounts = cluster(name)["autoscalerOptions"]["volumeMounts"]
    assert {"name": "kubernetes", "mountPath": TOKEN, "readOnly": True} in mounts
    accounts = [each for each in build(name) if each["kind"] == "ServiceAccount"]
    assert all(each["automountServiceAccountToken"] is False for each in accounts)


@pytest.mark.parametrize("name", BUILDS)
def test_volumes_are_there_bounded_and_large_enough_only_for_what_the_pod_may_write(name: str) -> None:
    for each in found(name):
        volumes = {volume["name"]: volume for volume in each.pod["volumes"]}
        for container in each.pod["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= volumes.keys()
            assert "/tmp" in mounts, "its only place to write: the root file system is read-only"
            disk = volumes[mounts["/tmp"]]["emptyDir"]["sizeLimit"]
            assert gib(disk) <= gib(container["resources"]["limits"]["ephemeral-storage"])
            if "/dev/shm" in mounts:
                shared = volumes[mounts["/dev/shm"]]["emptyDir"]
                assert shared["medium"] == "Memory"
                assert gib(shared["sizeLimit"]) < gib(container["resources"]["limits"]["memory"])
        assert all("sizeLimit" in volume["emptyDir"] for volume in volumes.values() if "emptyDir" in volume)
        assert not any("hostPath" in volume for volume in volumes.values())


@pytest.mark.parametrize("name", BUILDS)
def test_a_compilers_pod_holds_nothing_worth_stealing(name: str) -> None:
    pod = group(name, "compiler").pod
    assert {volume["name"] for volume in pod["volumes"]} == {"tmp", "shm"}
    assert all("emptyDir" in volume for volume in pod["volumes"])
    assert not {"env", "envFrom"} & pod["containers"][0].keys()
    assert pod["enableServiceLinks"] is False


def test_compilers_are_in_gvisor_wherever_there_is_a_gpu_to_protect() -> None:
    for overlay in ("single-gpu", "multi-gpu"):
        for part in ("", "/cluster", "/serving"):
            name = f"{overlay}{part}"
            [runtime] = [each for each in build(name) if each["kind"] == "RuntimeClass"]
            assert group(name, "compiler").pod["runtimeClassName"] == runtime["metadata"]["name"] == "gvisor"
            assert [each.name for each in groups(name) if "runtimeClassName" in each.pod] == ["compiler"]
    assert not [each.name for each in groups("cpu-dev") if "runtimeClassName" in each.pod]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_refuses_what_is_not_restricted(overlay: str) -> None:
    [namespace] = [each for each in build(overlay) if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    [limits] = [each for each in build(overlay) if each["kind"] == "LimitRange"]
    assert {"cpu", "memory", "ephemeral-storage"} <= limits["spec"]["limits"][0]["default"].keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_budgets_name_pods_that_there_are_by_a_number(overlay: str) -> None:
    for name in (overlay, f"{overlay}/serving"):
        labels = [each.labels for each in groups(name)]
        budgets = [each for each in build(name) if each["kind"] == "PodDisruptionBudget"]
        assert budgets
        for budget in budgets:
            wanted = budget["spec"]["selector"]["matchLabels"].items()
            assert any(wanted <= each.items() for each in labels), budget["metadata"]["name"]
            assert isinstance(budget["spec"]["minAvailable"], int), (
                "KubeRay's resources have no scale to take a share of"
            )


# ---- The network, as the policies of a run and of a service together have it.


def gib(quantity: str) -> float:
    units = {"Gi": 1.0, "Mi": 1 / 1024}
    return float(quantity[:-2]) * units[quantity[-2:]]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def may(
    way: str, policies: list[dict[str, Any]], labels: dict[str, str], other: dict[str, str] | None, port: int
) -> bool:
    """Whether pods with `labels` may talk by `way` (ingress or egress) with `other` pods of this namespace on `port`.

    `other` is None for the world.
    """
    for policy in policies:
        spec = policy["spec"]
        if not selects(spec["podSelector"], labels):
            continue
        for rule in spec.get(way, []):
            peers = rule.get("from" if way == "ingress" else "to")
            reached = peers is None or any(
                other is not None and "namespaceSelector" not in peer and selects(peer["podSelector"], other)
                for peer in peers
            )
            ports = rule.get("ports")
            open_ = ports is None or any(each["port"] <= port <= each.get("endPort", each["port"]) for each in ports)
            if reached and open_:
                return True
    return False


def joined(policies: list[dict[str, Any]], one: dict[str, str], other: dict[str, str], port: int) -> bool:
    return may("egress", policies, one, other, port) and may("ingress", policies, other, one, port)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def policies(overlay: str) -> list[dict[str, Any]]:
    return [each for name in (overlay, f"{overlay}/serving") for each in build(name) if each["kind"] == "NetworkPolicy"]


def test_everything_is_shut_by_default(policies: list[dict[str, Any]]) -> None:
    shut = [each["spec"] for each in policies if each["spec"]["podSelector"] == {}]
    assert shut == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


def test_rays_nodes_reach_each_other_on_every_port_that_they_are_told_to_take(
    overlay: str, policies: list[dict[str, Any]]
) -> None:
    for name in (overlay, f"{overlay}/serving"):
        nodes = [each for each in groups(name) if each.name != "submitter"]
        for one in nodes:
            for other in nodes:
                start = other.start
                ports = [int(start[key]) for key in start if key.endswith("-port") and "metrics" not in key]
                assert len(ports) >= 7
                if other.name == "head":
                    ports.append(6379)
                assert all(joined(policies, one.labels, other.labels, port) for port in ports), (one.name, other.name)


def test_the_run_and_the_service_are_strangers(overlay: str, policies: list[dict[str, Any]]) -> None:
    for one in groups(overlay):
        for other in groups(f"{overlay}/serving"):
            for port in (6379, 8000, 8265, 10002, 22):
                if one.name != "submitter":
                    assert not joined(policies, one.labels, other.labels, port)
                assert not joined(policies, other.labels, one.labels, port)


def test_compilers_reach_rays_ports_and_nothing_else(overlay: str, policies: list[dict[str, Any]]) -> None:
    for name in (overlay, f"{overlay}/serving"):
        compiler = group(name, "compiler").labels
        for port in (22, 53, 80, 443, 6443, 8265):
            assert not may("egress", policies, compiler, None, port)
        for other in groups(name):
            for port in (22, 443, 6443, 8000, 8265, 30000):
                assert not joined(policies, compiler, other.labels, port), (other.name, port)


def test_jobs_come_from_the_submitter_and_weights_go_on_any_port(overlay: str, policies: list[dict[str, Any]]) -> None:
    by_name = {each.name: each.labels for each in groups(overlay)}
    assert joined(policies, by_name["submitter"], by_name["head"], 8265)
    assert not joined(policies, by_name["submitter"], by_name["head"], 6379)
    assert may("egress", policies, by_name["head"], None, 6443), "the autoscaler asks Kubernetes"
    assert not may("egress", policies, by_name["learner"], None, 443)
    if "rollout" in by_name:
        assert joined(policies, by_name["learner"], by_name["rollout"], 40000)
        assert joined(policies, by_name["rollout"], by_name["learner"], 40000)

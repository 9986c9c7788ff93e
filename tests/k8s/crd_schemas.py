"""Strict JSON schemas of the custom resources that k8s/ uses, from a pruned copy of their definitions in crds/.

Made anew from the projects' own files, as of ray-project/kuberay@feeaf72 and prometheus-operator's of August 2026, by
`python tests/k8s/crd_schemas.py FOLDER`: version v1 alone, without status and without a word of description.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

CRDS = Path(__file__).with_name("crds")
NAMES = ("rayjobs", "rayclusters", "rayservices", "podmonitors", "prometheusrules")


@cache
def validators() -> dict[tuple[str, str], Draft202012Validator]:
    """By apiVersion and kind."""
    found = {}
    for path in CRDS.glob("*.json"):
        crd = json.loads(path.read_text())
        found[crd["apiVersion"], crd["kind"]] = Draft202012Validator(_strict(crd["schema"]))
    return found


def complaints(resource: dict[str, Any]) -> list[str]:
    """What is wrong with a custom resource, an unknown field too.

    Raises KeyError for a kind that is not here.
    """
    errors = validators()[resource["apiVersion"], resource["kind"]].iter_errors(resource)
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]


def _strict(node: Any) -> Any:
    """As the API server reads it, but for fields that it would drop: those are errors."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def _pruned(node: Any) -> Any:
    if isinstance(node, list):
        return [_pruned(each) for each in node]
    if not isinstance(node, dict):
        return node
    words = ("description", "example")
    return {key: _pruned(value) for key, value in node.items() if not (key in words and isinstance(value, str))}


def _prune(path: Path) -> dict[str, Any]:
    crd = yaml.safe_load(path.read_text())["spec"]
    schema = next(each for each in crd["versions"] if each["name"] == "v1")["schema"]["openAPIV3Schema"]
    schema["properties"].pop("status", None)
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"apiVersion": f"{crd['group']}/v1", "kind": crd["names"]["kind"], "schema": _pruned(schema)}


if __name__ == "__main__":
    for name in NAMES:
        pruned = json.dumps(_prune(Path(sys.argv[1], f"{name}.yaml")), separators=(",", ":"), sort_keys=True)
        (CRDS / f"{name}.json").write_text(pruned + "\n")

"""The Kubernetes files that follow from others of k8s/: `python -m services.manifests`.

Prometheus's rules become the operator's PrometheusRule, and each dashboard a ConfigMap for Grafana's sidecar. Changes
no rule and no dashboard, and knows no cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from services.run_folder import write_text

K8S = Path(__file__).parents[1] / "k8s"
ALERTS = K8S / "prometheus" / "alerts.yaml"
GRAFANA = K8S / "grafana"

_HEADER = "# Written by `python -m services.manifests`; not for editing.\n"


def prometheus_rule(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The operator's resource with these rules, which are those of a plain rule file."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ferrotype"},
        "spec": dict(rules),
    }


def dashboards(folder: Path) -> dict[str, Any]:
    """The kustomization that makes a ConfigMap of each dashboard in `folder`; all may be too much for one."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "ferrotype",
        # The sidecar of Grafana's chart looks for this label.
        "generatorOptions": {"disableNameSuffixHash": True, "labels": {"grafana_dashboard": "1"}},
        "configMapGenerator": [
            {"name": f"ferrotype-dashboard-{path.stem}", "files": [path.name]} for path in sorted(folder.glob("*.json"))
        ],
    }


def rendered() -> dict[Path, str]:
    """Each file's text."""
    rules = yaml.safe_load(ALERTS.read_text())
    return {
        ALERTS.with_name("prometheusrule.yaml"): _text(prometheus_rule(rules)),
        GRAFANA / "kustomization.yaml": _text(dashboards(GRAFANA)),
    }


def _text(tree: Mapping[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(dict(tree), sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    for path, text in rendered().items():
        write_text(path, text)
        print(path)

"""The Ray cluster of a phase: the one that RAY_ADDRESS names, else a small one of our own on the loopback address.

Ends only what it started; a cluster that was joined is left as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from services.config import ClusterSettings

NAMESPACE = "ferrotype"


@contextmanager
def ray_cluster(settings: ClusterSettings) -> Iterator[None]:
    """Ray, connected, for as long as the block runs. `services.environment.prepare` comes before."""
    import ray

    if address := os.environ.get("RAY_ADDRESS"):
        ray.init(address=address, namespace=NAMESPACE)
    else:
        ray.init(
            # Without it Ray would join any cluster that was ever started from this machine's shell.
            address="local",
            num_cpus=settings.cpus or os.cpu_count(),
            object_store_memory=settings.object_store_mb << 20,
            include_dashboard=False,
            namespace=NAMESPACE,
            _node_ip_address="127.0.0.1",
            _metrics_export_port=settings.metrics_port or None,
        )
    try:
        yield
    finally:
        ray.shutdown()

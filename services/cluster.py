"""The Ray cluster of a phase: the one that RAY_ADDRESS names, else a small one of our own on the loopback address.

Ends only what it started; a cluster that was joined is left as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from services.config import ClusterSettings

NAMESPACE = "ferrotype"


@contextmanager
def ray_cluster(settings: ClusterSettings) -> Iterator[None]:
    """Ray, connected, for as long as the block runs."""
    if not os.environ.get("RAY_ADDRESS"):
        # Read by Ray on import. Without the first it binds the machine's own address, whatever it is told.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # A token of our own: else Ray leaves one in the home folder, and every later cluster would demand it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    if address := os.environ.get("RAY_ADDRESS"):
        ray.init(address=address, namespace=NAMESPACE)
    else:
        ray.init(
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

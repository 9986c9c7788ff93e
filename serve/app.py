"""The Ray Serve application: replicas of the API, each with its own engines.

`build` is what a cluster's configuration imports (`serve.app:build`); `serve.run` deploys the same on one machine.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from fastapi import FastAPI
from ray import serve as ray_serve

from serve.api import create_app
from serve.judging import RemoteJudging, bind_farm
from serve.models import Models
from serve.settings import ServeSettings

SPARE_REQUESTS = 64
"""Requests that a replica takes beyond slots and queue: health, metrics, and those that it refuses with a clear 429."""

RETRY_SECONDS = 1

UPSCALE_SECONDS, DOWNSCALE_SECONDS = 3, 120
"""A replica is up within seconds of too many requests, and stays until there were too few for a while."""


@ray_serve.deployment(
    name="ferrotype",
    health_check_period_s=10,
    health_check_timeout_s=30,
    graceful_shutdown_wait_loop_s=0.2,
    # A model that fails to load fails again.
    max_constructor_retry_count=1,
)
@ray_serve.ingress()
class Replica:
    """All models, loaded once."""

    def __init__(self, settings: dict[str, Any], farm: Any = None) -> None:
        self._settings = ServeSettings.model_validate(settings)
        self._judge = RemoteJudging(farm) if farm is not None else None
        self._models = Models(self._settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._models, self._settings, self._judge, named=False)  # Ray's proxy names requests

    async def check_health(self) -> None:
        """Called by Ray, which replaces a replica that hangs or raises here."""
        await asyncio.to_thread(self._models.check)


def build(args: dict[str, Any]) -> Any:
    """The application with `args` as its ServeSettings; host and port are Ray Serve's own there.

    Raises:
        pydantic.ValidationError: an argument is unknown or out of bounds.
    """
    settings = ServeSettings.model_validate(args)
    options: dict[str, Any] = {
        "max_ongoing_requests": settings.slots + settings.max_queue + SPARE_REQUESTS,
        "max_queued_requests": settings.max_queue + SPARE_REQUESTS,
        # For what Ray's proxy refuses itself, where even refusing takes too long.
        "backpressure_config": {"status_code": 429, "retry_after_s": RETRY_SECONDS},
        "ray_actor_options": {"num_cpus": settings.threads, "num_gpus": settings.gpus_per_replica},
        "graceful_shutdown_timeout_s": settings.drain_seconds,
    }
    if settings.max_replicas in (None, settings.replicas):
        options["num_replicas"] = settings.replicas
    else:
        options["autoscaling_config"] = {
            "min_replicas": settings.replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.slots,
            "upscale_delay_s": UPSCALE_SECONDS,
            "downscale_delay_s": DOWNSCALE_SECONDS,
        }
    farm = bind_farm(settings.farm) if settings.farm is not None else None
    return cast(Any, Replica).options(**options).bind(settings.model_dump(mode="json"), farm)

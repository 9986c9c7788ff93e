"""The Ray Serve application: replicas of the API, each with its own llama.cpp engine.

`build` is what a cluster's configuration imports (`serve.app:build`); `serve.run` deploys the same on one machine.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from fastapi import FastAPI
from ray import serve as ray_serve

from serve.api import create_app
from serve.engine import LlamaCppEngine
from serve.model_file import read_model_file
from serve.settings import ServeSettings

SPARE_REQUESTS = 64
"""Requests that a replica takes beyond slots and queue: health, metrics, and those that it refuses with a clear 503."""


@ray_serve.deployment(
    name="ferrotype",
    health_check_period_s=10,
    health_check_timeout_s=30,
    graceful_shutdown_timeout_s=5,
    graceful_shutdown_wait_loop_s=0.2,
    # A model that fails to load fails again.
    max_constructor_retry_count=1,
)
@ray_serve.ingress()
class Replica:
    """One model, loaded once."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = ServeSettings.model_validate(settings)
        self._engine = LlamaCppEngine(read_model_file(self._settings.model), self._settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._engine, self._settings)

    async def check_health(self) -> None:
        """Called by Ray, which replaces a replica that hangs or raises here."""
        await asyncio.to_thread(self._engine.check)


def build(args: dict[str, Any]) -> Any:
    """The application with `args` as its ServeSettings; host and port are Ray Serve's own there.

    Raises:
        pydantic.ValidationError: an argument is unknown or out of bounds.
    """
    settings = ServeSettings.model_validate(args)
    options = {
        "num_replicas": settings.replicas,
        "max_ongoing_requests": settings.slots + settings.max_queue + SPARE_REQUESTS,
        "max_queued_requests": settings.max_queue + SPARE_REQUESTS,
        "ray_actor_options": {"num_cpus": settings.threads},
    }
    return cast(Any, Replica).options(**options).bind(settings.model_dump(mode="json"))

"""The Ray Serve application of the judge's API: one replica, which owns the pool of workers.

`build` is what a cluster's configuration imports (`serve.judge_app:build`); `serve.judge_run` deploys it here.
"""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI
from ray import serve as ray_serve

from reward_farm.pool import RewardFarm
from serve.app import SPARE_REQUESTS
from serve.judge_api import create_judge_app
from serve.settings import JudgeSettings


@ray_serve.deployment(
    name="ferrotype-judge",
    health_check_period_s=10,
    health_check_timeout_s=30,
    graceful_shutdown_timeout_s=10,
    graceful_shutdown_wait_loop_s=0.2,
)
@ray_serve.ingress()
class JudgeReplica:
    """One farm. More workers, and not more replicas, make it faster: batches and ids are the farm's."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = JudgeSettings.model_validate(settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_judge_app(lambda: RewardFarm(self._settings.farm), self._settings)


def build(args: dict[str, Any]) -> Any:
    """The application with `args` as its JudgeSettings; host and port are Ray Serve's own there.

    Raises:
        pydantic.ValidationError: an argument is unknown or out of bounds.
    """
    settings = JudgeSettings.model_validate(args)
    # The farm's own bound refuses first, and says why; every waiting request has at least one submission.
    most = settings.farm.max_queue + settings.farm.max_batch * settings.farm.workers + SPARE_REQUESTS
    options = {"num_replicas": 1, "max_ongoing_requests": most, "max_queued_requests": most}
    return cast(Any, JudgeReplica).options(**options).bind(settings.model_dump(mode="json"))

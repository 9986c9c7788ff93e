"""The reward farm as servers reach it: behind Ray Serve, one for all replicas, its errors as clients are told them."""

from __future__ import annotations

from typing import Any, cast

from ray import serve as ray_serve

from reward_farm.errors import FarmError
from reward_farm.pool import RewardFarm
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict
from serve.errors import ApiError
from serve.farm_errors import api_error


class FarmJudging:
    """A farm in this process."""

    def __init__(self, farm: RewardFarm) -> None:
        self._farm = farm

    async def judge(self, submission: Submission, deadline_seconds: float) -> Verdict:
        """See `serve.verification.Judging`."""
        try:
            return await self._farm.judge(submission, deadline_seconds)
        except FarmError as error:
            raise api_error(error) from error


class RemoteJudging:
    """A farm behind a handle of Ray Serve."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def judge(self, submission: Submission, deadline_seconds: float) -> Verdict:
        """See `serve.verification.Judging`."""
        try:
            answer = await self._handle.judge.remote(submission, deadline_seconds)
        except Exception as error:  # whatever Ray raises for a replica that died, is not there or has too much to do
            text = f"The compiler can't be asked now: {type(error).__name__}."
            raise ApiError(text, status=503, kind="server_error", code="farm_unavailable") from error
        if isinstance(answer, ApiError):
            raise answer
        return cast(Verdict, answer)


@ray_serve.deployment(name="ferrotype-farm", health_check_timeout_s=30, graceful_shutdown_timeout_s=5)
class Farm:
    """One farm; more workers, and not more replicas, make it faster."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = FarmSettings.model_validate(settings)
        self._farm: RewardFarm | None = None

    async def judge(self, submission: Submission, deadline_seconds: float) -> Verdict | ApiError:
        """The verdict, or why there is none: errors as values, for Ray wraps those that are raised."""
        if self._farm is None:
            self._farm = RewardFarm(self._settings)
        try:
            return await self._farm.judge(submission, deadline_seconds)
        except FarmError as error:
            return api_error(error)


def bind_farm(settings: FarmSettings) -> Any:
    """The deployment with these settings, for an application to hold a handle to."""
    most = settings.max_queue + settings.max_batch * settings.workers
    # A sliver of a core keeps it off the compilers' nodes, which have none to give.
    cpus = 0.01 if settings.node_resource else 0
    options = {"num_replicas": 1, "max_ongoing_requests": most, "ray_actor_options": {"num_cpus": cpus}}
    return cast(Any, Farm).options(**options).bind(settings.model_dump(mode="json"))

"""A group of answers judged by two workers on Ray, each verdict as it comes. Takes some seconds to start.

python examples/pool.py
"""

import asyncio

import ray

from reward_farm.pool import RewardFarm
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored

PROBLEM = Problem("double", ("i32",), "i32", (Case((2,), 4), Case((-3,), -6)))
BODIES = ["x * 2", "x + x", "x + 2", "x << 1", '"four"', "loop {}"]


async def main() -> None:
    """Judge the group, and say what the farm did."""
    farm = RewardFarm(FarmSettings(workers=2, max_batch=3))
    try:
        group = [
            Submission(f"step-0/{place}", f"pub fn double(x: i32) -> i32 {{ {body} }}", PROBLEM)
            for place, body in enumerate(BODIES)
        ]
        async for place, verdict in farm.stream(group, deadline_seconds=60):
            said = f"{verdict.outcome} {verdict.reward.total}" if isinstance(verdict, Scored) else verdict.reason
            print(f"{BODIES[place]:8} {said}")
        stats = farm.stats()
        print(f"{stats.verdicts} verdicts, {stats.faults} faults of ours, {stats.ready} workers")
    finally:
        await farm.close()


if __name__ == "__main__":
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    asyncio.run(main())

"""A cluster of several raylets on this machine: compilers and an engine on other nodes than the driver, which die and
are replaced while both have work. Run by test_nodes.py in a process of its own; prints what it saw as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from reward_farm.pool import RewardFarm
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Outcome, Scored
from rollout.pool import RolloutPool
from rollout.settings import RolloutSettings
from tests.rollout.conftest import EOS, collect, requests, tiny_llama, weights_of

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((3,), 9)))
CANDIDATES, BATCH = 240, 8
SMALL = {"num_cpus": 1, "object_store_memory": 100 << 20}


def node_of(actor: Any) -> str:
    return str(ray.get(actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()), timeout=120))


def submission(number: int) -> Submission:
    """Every third fails its tests, so that verdicts that went astray would be seen."""
    body = "x * x" if number % 3 else "x"
    return Submission(f"s{number}", f"pub fn solve(x: i64) -> i64 {{ {body} }} // {number}", SQUARE)


async def compilers_move(cluster: Cluster, compilers: Any) -> dict[str, Any]:
    """A node of compilers is lost under load, and another joins."""
    farm = RewardFarm(FarmSettings(workers=2, max_batch=BATCH, node_resource="compiler", start_seconds=180))
    first = {await asyncio.to_thread(node_of, worker) for worker in farm._workers}
    judging = asyncio.create_task(farm.judge_many([submission(number) for number in range(CANDIDATES)]))
    while farm.stats().verdicts < CANDIDATES // 6:
        await asyncio.sleep(0.02)
    cluster.remove_node(compilers, allow_graceful=False)
    at_loss = farm.stats().verdicts
    joined = cluster.add_node(**{**SMALL, "num_cpus": 0}, resources={"compiler": 2})
    verdicts = await asyncio.wait_for(judging, 300)
    second = {await asyncio.to_thread(node_of, worker) for worker in farm._workers}
    await farm.close()
    right = [
        isinstance(verdict, Scored) and (verdict.outcome is Outcome.PASSED) == bool(number % 3)
        for number, verdict in enumerate(verdicts)
    ]
    return {
        "compilers_first": sorted(first), "compilers_second": sorted(second), "compilers_joined": joined.node_id,
        "judged_at_loss": at_loss, "verdicts": len(verdicts), "right": sum(right),
    }  # fmt: skip


async def engine_moves(cluster: Cluster, engine: Any, folder: Path) -> dict[str, Any]:
    """The node of an engine is lost with completions under way: the other engine writes them. A node joins, and the
    next push but one proves an engine there."""
    tiny_llama(0).save_pretrained(folder)
    settings = RolloutSettings(
        replicas=2, transport="ray", node_resource="rollout", kv_cache_mb=64, heartbeat_seconds=0.5
    )
    pool = await RolloutPool.start(folder, settings, EOS, version=1)
    first = [await asyncio.to_thread(node_of, replica._actor) for replica in pool._replicas]
    lost = first.index(engine.node_id)
    sampling = asyncio.create_task(collect(pool, requests(16, max_tokens=300)))
    await asyncio.sleep(0.5)
    under_way = not sampling.done()
    cluster.remove_node(engine, allow_graceful=False)
    joined = cluster.add_node(**SMALL, resources={"rollout": 1})
    completions = await asyncio.wait_for(sampling, 300)
    await asyncio.wait_for(pool.push(weights_of(tiny_llama(1)), 2), 120)
    async with asyncio.timeout(180):
        while not pool.health[lost].startswith(("healthy", "stale")):
            await asyncio.sleep(0.2)
    report = await asyncio.wait_for(pool.push(weights_of(tiny_llama(2)), 3), 120)
    second = [await asyncio.to_thread(node_of, replica._actor) for replica in pool._replicas]
    after = await collect(pool, requests(2, max_tokens=8))
    pool_health = pool.health
    await pool.close()
    return {
        "engines_first": first, "engines_second": second, "lost": lost, "joined": joined.node_id,
        "under_way": under_way, "completions": len(completions), "restarts": pool.restarts,
        "health": list(pool_health.values()), "proved": list(report.proved),
        "versions": sorted({span.version for completion in after.values() for span in completion.versions}),
    }  # fmt: skip


def main(folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args=SMALL)
    compilers = cluster.add_node(**{**SMALL, "num_cpus": 0}, resources={"compiler": 2})
    engine, _ = (cluster.add_node(**SMALL, resources={"rollout": 1}) for _ in range(2))
    ray.init(address=cluster.address, log_to_driver=False)
    begun = time.monotonic()
    try:
        driver = ray.get_runtime_context().get_node_id()
        seen = {"driver": driver, "compilers_node": compilers.node_id, "engine_node": engine.node_id}
        seen |= asyncio.run(compilers_move(cluster, compilers))
        seen |= asyncio.run(engine_moves(cluster, engine, folder))
        print("SEEN " + json.dumps({**seen, "seconds": round(time.monotonic() - begun, 1)}))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

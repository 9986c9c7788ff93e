"""How fast rollouts are sampled: `python -m benchmarks.rollout --checkpoint FOLDER --tasks RUN/data/tasks.jsonl`.

The requests of a GRPO step go in turn to the rollout pool and to bare vLLM, as `LLM` and as `AsyncLLM`, each with an
engine that is up: the same prompts, seeds, lengths and log-probabilities.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from services.cluster import ray_cluster
from services.config import ClusterSettings
from services.environment import prepare


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of both, round by round."""
    from benchmarks.evaluation_rounds import Bare
    from benchmarks.grpo_vs_trl.ferrotype_arm import PROMPT_ROOM, engine_settings
    from rollout.pool import RolloutPool
    from rollout.types import GenerationRequest
    from trainer.grpo.codec import Codec
    from trainer.grpo.collector import request_seed
    from trainer.grpo.task_order import ShuffledTasks
    from trainer.tasks.bank import TaskBank
    from trainer.tasks.task import Split

    codec = Codec(options.checkpoint)
    source = ShuffledTasks(TaskBank.load(options.tasks).tasks(Split.TRAIN), 0)
    completions = options.prompts * options.group_size
    settings = engine_settings(options.checkpoint, options.max_completion_tokens + PROMPT_ROOM, completions)
    requests = [
        GenerationRequest(f"{index}-{place}", tuple(codec.encode(source.task(index).prompt)),
                          options.max_completion_tokens, 1.0, request_seed(0, "train", index, place))
        for index in range(options.prompts)
        for place in range(options.group_size)
    ]  # fmt: skip
    asked = [
        {"ids": r.prompt_ids, "temperature": 1.0, "max_tokens": r.max_tokens, "seed": r.seed, "logprobs": 0}
        for r in requests
    ]
    yardsticks = [Bare(options.checkpoint, codec.eos_token_id, settings, kind) for kind in ("LLM", "AsyncLLM")]
    pool = await RolloutPool.start(options.checkpoint, settings, codec.eos_token_id)

    async def ours() -> float:
        begun = time.perf_counter()
        tokens = [len(completion.token_ids) async for completion in pool.generate(requests)]
        return sum(tokens) / (time.perf_counter() - begun)

    async def theirs(bare: Bare) -> float:
        # In a thread: the pool asks its engines meanwhile whether they live.
        tokens, seconds = await asyncio.to_thread(bare.round, asked)
        return tokens / seconds

    arms = {"pool": ours, "LLM": partial(theirs, yardsticks[0]), "AsyncLLM": partial(theirs, yardsticks[1])}
    rates: dict[str, list[float]] = {name: [] for name in arms}
    try:
        for arm in arms.values():  # all engines are warm before anything counts
            await arm()
        for number in range(options.rounds):
            # Each is the first of them as often as another.
            for place in range(len(arms)):
                name = list(arms)[(number + place) % len(arms)]
                rates[name].append(await arms[name]())
    finally:
        await pool.close()
        for bare in yardsticks:
            bare.close()
    shares = {
        name: [mine / other for mine, other in zip(rates["pool"], rates[name], strict=True)]
        for name in ("LLM", "AsyncLLM")
    }
    return {
        "completions": completions,
        "tokens_per_second": rates,
        "share": {name: statistics.median(each) for name, each in shares.items()},
        "share_range": {name: [min(each), max(each)] for name, each in shares.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True, help="a bank, whose training tasks are asked")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--max-completion-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    prepare()
    with ray_cluster(ClusterSettings()):
        figures = asyncio.run(measure(options))
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()

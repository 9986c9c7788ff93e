"""Real parts for the rollout tests: one Ray, one pool of two vLLM engines, and two tiny Llamas to tell apart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
from ray import cloudpickle
from transformers import LlamaConfig, LlamaForCausalLM

from rollout.pool import RolloutPool
from rollout.settings import RolloutSettings
from rollout.types import Completion, GenerationRequest
from trainer.grpo.forward import Abilities, canary_of

# Read when Ray starts: a test may then send a function into an engine's process, to break it there.
os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"

EOS = 0
SETTINGS = RolloutSettings(
    replicas=2, kv_cache_mb=64, max_num_seqs=16, push_deadline_seconds=30,
    heartbeat_seconds=0.5, suspect_seconds=3, dead_seconds=60,
)  # fmt: skip
TRANSPORTS = ["shm", "ray", "ipc", "nccl"][: 2 + min(2, torch.cuda.device_count())]
"""Whatever of them can run here runs the same tests."""
PLAIN_LLAMA = Abilities(shares_prompts=True, plain_head=True)


def tiny_llama(seed: int, heads: int = 4) -> LlamaForCausalLM:
    """Tied embeddings, and weights large enough that greedy tokens differ between seeds and positions."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=500,  # not a multiple of the 64 that vLLM pads to
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=EOS,
        eos_token_id=EOS,
    )
    return LlamaForCausalLM(config).eval()


def weights_of(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """What the learner pushes: no head of its own, because it is tied."""
    return {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}


def reference_logprobs(model: LlamaForCausalLM, completion: Completion, temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities `[tokens]` of a completion's tokens under transformers."""
    ids = torch.tensor([completion.prompt_ids + completion.token_ids])
    with torch.inference_mode():
        logits = model(ids).logits[0, len(completion.prompt_ids) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]


def reference_greedy(model: LlamaForCausalLM, prompt: tuple[int, ...], max_tokens: int) -> tuple[int, ...]:
    """Greedy tokens under transformers."""
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False)
    return tuple(out[0, len(prompt) :].tolist())


def requests(count: int, max_tokens: int, temperature: float = 1.0) -> list[GenerationRequest]:
    """Seeded requests with prompts of different lengths, the longer ones sharing a prefix."""
    return [
        GenerationRequest(f"r{i}", tuple(range(1, 20 + 7 * i)), max_tokens, temperature, seed=i) for i in range(count)
    ]


async def collect(pool: RolloutPool, wanted: list[GenerationRequest]) -> dict[str, Completion]:
    """Every completion, by id."""
    return {completion.id: completion async for completion in pool.generate(wanted)}


def engines() -> list[psutil.Process]:
    """Engine processes of this test run's rollout actors; servers in other tests have engines as well."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = process.parent()
            ours = parent is not None and "RolloutActor" in "".join(parent.cmdline())
            if ours and "EngineCore" in process.name() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def engines_left(count: int, seconds: float = 60) -> bool:
    """Whether so many engines are left, once those that end have ended: a busy machine takes its time."""
    deadline = time.monotonic() + seconds
    while len(engines()) != count and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(engines()) == count


@dataclass
class Stage:
    """A running pool with a loop to drive it, and the models whose weights it may hold."""

    pool: RolloutPool
    run: Callable[..., Any]
    old: LlamaForCausalLM
    new: LlamaForCausalLM
    version: int = 1

    def push(self, model: LlamaForCausalLM, version: int) -> None:
        """Brings every replica to `model`, whatever the tests before did."""
        report = self.run(self.pool.push(weights_of(model), version, canary_of(model, PLAIN_LLAMA)))
        assert report.proved == (0, 1)

    def inside(self, replica: int, work: Callable[[Any], Any]) -> Any:
        """Runs `work(worker)` in the process of a replica's engine."""
        # The engine's process can't import a test.
        cloudpickle.register_pickle_by_value(sys.modules[work.__module__])

        def send(actor: Any) -> Any:
            llm = actor._engine._llm
            # Ray runs this beside the actor's loop, which is also the task's that hands out vLLM's answers.
            answers = asyncio.run_coroutine_threadsafe(llm.collective_rpc(work), llm.output_handler.get_loop())
            return answers.result(timeout=30)

        (answer,) = ray.get(self.pool._replicas[replica]._actor.__ray_call__.remote(send), timeout=60)
        return answer


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session", params=TRANSPORTS)
def stage(
    request: pytest.FixtureRequest, cluster: None, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("model")
    old, new = tiny_llama(0), tiny_llama(1)
    old.save_pretrained(folder)
    settings = SETTINGS.model_copy(
        update={"transport": request.param, "gpus_per_replica": 0.2 if torch.cuda.is_available() else 0}
    )
    pool = runner.run(RolloutPool.start(folder, settings, EOS, version=1))
    yield Stage(pool, runner.run, old, new)
    runner.run(pool.close())
    torch.set_num_threads(threads)

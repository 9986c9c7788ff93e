"""How fast the learner is: beside a bare torch loop over the same packed batches, and beside rows that aren't packed.

    python -m benchmarks.learner --checkpoint runs/embedded/checkpoints/production-supervised/step_520 \
        --trace runs/embedded/traces/rl.jsonl

Prompts and completions are those of a run's trace, tokenised again (only the speed is looked at). Every arm takes the
same optimizer step from the same weights, in turns, each first as often as the others. CPU time is given beside wall
time: torch works on one thread here, and what else the machine does then matters less. Writes nothing but its report.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from transformers import AutoTokenizer

from trainer.grpo.algorithm import GRPOConfig
from trainer.grpo.batch import ADVANTAGE, TOKEN_WEIGHT, Row, to_columns
from trainer.grpo.forward import PackedTensors, packed_logprobs, to_tensors
from trainer.grpo.learner import BETAS, ITERATION, GRPOLearner, packables
from trainer.grpo.packing import fill, plan
from trainer.grpo.settings import GrpoSettings
from trainer.grpo.trace import TraceEntry, read_trace, trace_files


def rows_of_trace(trace: Path, checkpoint: Path, groups: int, group_size: int) -> list[Row]:
    """The first groups that the run trained on in the middle of its iterations, with half of each rewarded.

    Lengths are those of the run; what the completions say doesn't matter here.
    """
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    files = trace_files(trace)
    by_group: dict[int, list[TraceEntry]] = {}
    for entry in read_trace(files[len(files) // 2 :]):
        if len(by_group) < groups or entry.group in by_group:
            by_group.setdefault(entry.group, []).append(entry)
        elif all(len(entries) >= group_size for entries in by_group.values()):
            break
    rows = []
    for entries in by_group.values():
        prompt = tuple(tokenizer.encode(entries[0].prompt, add_special_tokens=False))
        for place, entry in enumerate(entries[:group_size]):
            tokens = (*tokenizer.encode(entry.completion, add_special_tokens=False), tokenizer.eos_token_id)
            rows.append(Row(prompt, tokens, (-1.0,) * len(tokens), (-1.0) ** place))
    return rows


class LearnerArm:
    """A step as training takes it, through RLlib. `inside` is what of it the update itself took."""

    def __init__(self, checkpoint: Path, settings: GrpoSettings, rows: list[Row]) -> None:
        config = GRPOConfig().training(grpo=settings, policy_dir=checkpoint)
        self.learner = GRPOLearner(config=config, module_spec=config.get_multi_rl_module_spec())
        self.learner.build()
        self.columns = to_columns(rows, settings)
        self.inside = 0.0
        update = self.learner._uncompiled_update

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return update(*args, **kwargs)
            finally:
                self.inside = time.perf_counter() - started

        # RLlib picks its update through this name, compiled or not.
        self.learner._possibly_compiled_update = timed

    def step(self) -> None:
        batch = SampleBatch(dict(self.columns))
        self.learner.update(
            batch=MultiAgentBatch({DEFAULT_MODULE_ID: batch}, env_steps=len(batch)), timesteps={ITERATION: 1}
        )

    @property
    def optimizer_bytes(self) -> int:
        """Of the optimizer's moments."""
        return sum(moment.nbytes for state in self.learner._optimizer.state.values() for moment in state.values())


class BareArm:
    """A loop over batches that are packed already: forward, the gradient of weighted log-probabilities, AdamW."""

    def __init__(self, arm: LearnerArm, settings: GrpoSettings) -> None:
        module = arm.learner._policy_module
        self.settings, self.abilities = settings, module.abilities
        self.model = GRPOConfig().policy_loader(Path(module.start.directory)).model.train()
        columns = {name: torch.from_numpy(column) for name, column in arm.columns.items()}
        shared = settings.shared_prompts and module.abilities.shares_prompts
        self.batches: list[tuple[PackedTensors, torch.Tensor]] = []
        for rows in plan(packables(columns), settings.token_budget, share=shared):
            packed = to_tensors(fill(rows, arm.columns["tokens"]), "cpu", shared=shared)  # type: ignore[arg-type]
            weights_S = (columns[ADVANTAGE] * columns[TOKEN_WEIGHT])[packed.indices_S]
            self.batches.append((packed, weights_S[packed.sequences_N]))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.learning_rate, betas=BETAS, fused=True)

    def step(self) -> None:
        for packed, weights_N in self.batches:
            logprobs_N = packed_logprobs(self.model, packed, self.settings.temperature, self.abilities)
            (-(logprobs_N * weights_N).sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def measured(step: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--trace", type=Path, required=True, help="RUN/traces/rl")
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--token-budget", type=int, default=1024)
    parser.add_argument("--lora-rank", type=int, default=0, help="also a learner that trains an adapter of this rank")
    args = parser.parse_args()
    rows = rows_of_trace(args.trace, args.checkpoint, args.groups, args.group_size)
    settings = GrpoSettings(token_budget=args.token_budget)
    packed = LearnerArm(args.checkpoint, settings, rows)
    unpacked = LearnerArm(args.checkpoint, settings.model_copy(update={"shared_prompts": False}), rows)
    bare = BareArm(packed, settings)
    arms = {"learner": packed.step, "bare": bare.step, "unpacked": unpacked.step}
    ratios = [("learner", "bare"), ("unpacked", "learner")]
    if args.lora_rank:
        adapter = LearnerArm(args.checkpoint, settings.model_copy(update={"lora_rank": args.lora_rank}), rows)
        arms["adapter"] = adapter.step
        ratios.append(("adapter", "learner"))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    shares = []
    for round_ in range(args.rounds + 1):
        names = list(arms)
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            took = measured(arms[name])
            # The first round pays for allocations and imports.
            if round_:
                times[name].append(took)
                shares += [1 - packed.inside / took[0]] if name == "learner" else []
    completion_tokens = sum(len(row.token_ids) for row in rows)
    print(
        f"{len(rows)} completions: {completion_tokens} tokens, {sum(row.length for row in rows)} with a prompt for each"
    )
    for name, took in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*took, strict=True))
        speed = completion_tokens / cpu
        print(f"{name:10} {cpu:7.3f} CPU s a step, {speed:7.0f} completion tokens/CPU s; {wall:7.3f} s wall")
    for kind, label in enumerate(("wall", "CPU")):
        for above, below in ratios:
            values = [a[kind] / b[kind] for a, b in zip(times[above], times[below], strict=True)]
            print(f"{above} / {below}, {label} time: {show(values)}")
    if args.lora_rank:
        print(f"adapter / learner, optimizer state: {adapter.optimizer_bytes / packed.optimizer_bytes:.3f}")
    print(f"RLlib's share of a step around the update, wall time: {show(shares)}")


def show(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()

"""TRL's arm: `python -m benchmarks.grpo_vs_trl.trl_arm JOB.json STEPS.jsonl`, with TRL on PYTHONPATH.

Its reward function is the farm's own scorer: sandboxes in parallel, candidates compiled in batches, the same verdicts.
That is more than TRL brings or its users have; so what is compared is the training around it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.grpo_vs_trl.ferrotype_arm import PROMPT_ROOM
from benchmarks.grpo_vs_trl.job import Job, Journal, read_job
from reward_farm.problem import Submission
from reward_farm.scoring import Scorer
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored
from trainer.grpo.learner import BETAS
from trainer.tasks.task import Task


class Reward:
    """Points of each completion, and what the clock wants to know of them."""

    __name__ = "rust_reward"

    def __init__(self, scorer: Scorer, tasks: list[Task]) -> None:
        self._scorer, self._tasks = scorer, tasks
        self.asked = self.answered = 0.0
        self.mean = 0.0
        self.tokens = 0

    def __call__(
        self, completions: list[str], completion_ids: list[list[int]], task: list[int], **_: Any
    ) -> list[float | None]:
        self.asked = time.perf_counter()
        verdicts = self._scorer.judge(
            [
                Submission(f"{place}", self._tasks[index].source(text), self._tasks[index].problem)
                for place, (index, text) in enumerate(zip(task, completions, strict=True))
            ]
        )
        points = [verdict.reward.total if isinstance(verdict, Scored) else None for verdict in verdicts]
        known = [value for value in points if value is not None]
        self.mean, self.tokens = sum(known) / len(known), sum(map(len, completion_ids))
        self.answered = time.perf_counter()
        return points


class Clock(TrainerCallback):
    """Writes each step when it ends. What comes before the reward is sampling, what comes after it the update."""

    def __init__(self, journal: Journal, reward: Reward) -> None:
        self._journal, self._reward = journal, reward

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._journal.begin()

    def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
        reward = self._reward
        parts = {
            "sample": reward.asked - self._journal.begun,
            "judge": reward.answered - reward.asked,
            "update": time.perf_counter() - reward.answered,
        }
        self._journal.step(state.global_step, reward.mean, reward.tokens, parts)
        control.should_training_stop = control.should_training_stop or self._journal.over


def train(job: Job, out: Path) -> None:
    """The run, from the job's model on."""
    torch.set_num_threads(job.threads)
    source = job.source()
    tasks = [source.task(index) for index in range(job.steps * job.prompts)]
    micro = job.micro_batch or job.batch
    scorer = Scorer(FarmSettings(workers=job.judges))
    reward, journal = Reward(scorer, tasks), Journal(out, job.seconds)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
            processing_class=AutoTokenizer.from_pretrained(job.model, padding_side="left"),
            reward_funcs=reward,
            train_dataset=Dataset.from_list([{"prompt": task.prompt, "task": n} for n, task in enumerate(tasks)]),
            callbacks=[Clock(journal, reward)],
            args=GRPOConfig(
                output_dir=scratch, use_cpu=True, bf16=False, report_to="none", save_strategy="no", disable_tqdm=True,
                logging_strategy="no", seed=job.seed, shuffle_dataset=False, max_steps=job.steps,
                per_device_train_batch_size=micro, gradient_accumulation_steps=job.batch // micro,
                num_generations=job.group, max_completion_length=job.completion_tokens,
                # By default it computes activations twice, to save memory of which there is plenty here.
                gradient_checkpointing=False,
                temperature=1.0, beta=0.0, loss_type="dapo", epsilon=job.clip_low, epsilon_high=job.clip_high,
                learning_rate=job.learning_rate, lr_scheduler_type="constant", max_grad_norm=1.0,
                adam_beta1=BETAS[0], adam_beta2=BETAS[1], optim="adamw_torch_fused", weight_decay=0.0,
                use_vllm=job.vllm, vllm_mode="colocate", vllm_max_model_length=job.completion_tokens + PROMPT_ROOM,
            ),
        )  # fmt: skip
        trainer.train()
    scorer.close()
    journal.close()


if __name__ == "__main__":
    train(read_job(Path(sys.argv[1])), Path(sys.argv[2]))

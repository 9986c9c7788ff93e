"""Settings of the reinforcement-learning phase. Imports neither torch nor ray.

There is no top_p or top_k: the learner knows the probability of a token only under the whole distribution, so a policy
that is trained must be sampled from all of it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

AdvantageName = Literal["mean_std", "mean", "leave_one_out"]
LossName = Literal["grpo", "dapo", "dr_grpo", "cispo"]


class GrpoSettings(BaseModel):
    """Group-relative policy optimization (GRPO).

    Batch size is three numbers: prompts_per_step, group_size, token_budget.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    iterations: int = Field(default=40, ge=1)
    """Optimizer steps; each one is a policy version."""
    prompts_per_step: int = Field(default=8, ge=1)
    """Tasks, and so groups, in an optimizer step."""
    group_size: int = Field(default=8, ge=2)
    """Completions of one task: each other's baseline."""
    token_budget: int = Field(default=1024, ge=64)
    """Tokens (with padding) that the learner holds at once; a larger step is split into micro-batches. It changes no
    gradient, but memory and speed: a CPU is a third faster when activations stay in its caches, a GPU wants more."""
    max_lag: int = Field(default=1, ge=0, le=8)
    """Policy versions that a group may be behind when it is trained on. 0 is the exact synchronous algorithm; 1 samples
    the next groups while the learner works."""

    temperature: float = Field(default=1.0, gt=0, le=2)
    max_completion_tokens: int = Field(default=160, ge=1)

    advantage: AdvantageName = "mean_std"
    loss: LossName = "dapo"
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    clip_high: float = Field(default=0.28, ge=0)
    importance_cap: float = Field(default=3.0, ge=1)
    """Upper bound of a token's importance weight (learner against sampler): a token that the learner now finds far
    likelier than its sampler did can't dominate a step."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the policy that RL started with; above 0 a frozen copy of it is held."""

    learning_rate: float = Field(default=3e-4, gt=0)
    warmup_iterations: int = Field(default=2, ge=0)
    """Iterations over which the learning rate rises linearly: Adam's second moments are empty at first."""
    learning_rate_end: float = Field(default=0.1, ge=0, le=1)
    """Share of the learning rate that is left at the last iteration; it falls linearly."""
    weight_decay: float = Field(default=0.0, ge=0)
    grad_clip: float = Field(default=1.0, gt=0)

    learners: int = Field(default=0, ge=0)
    """Learner actors; 0 learns in the driver process, without one."""
    gpus_per_learner: float = Field(default=0.0, ge=0)
    learner_threads: int = Field(default=1, ge=1)
    """torch threads of each learner. One where it shares the cores with rollout and rustc: OpenMP threads that wait for
    a busy core spin, and a step then takes ten times as long."""

    checkpoint_interval: int = Field(default=10, ge=1)
    """Iterations between checkpoints that are kept."""
    resume_seconds: float = Field(default=0.0, ge=0)
    """A resumable checkpoint is written when the last one is older than this, and removed when the next one is on disk.
    0 writes one every iteration, so that a kill loses only the step in flight."""
    evaluation_interval: int = Field(default=10, ge=1)
    """Iterations between evaluations on held-out tasks; the first and the last policy are always evaluated."""
    evaluation_tasks: int = Field(default=64, ge=1)
    """Held-out tasks of each unseen split in such an evaluation: enough for a curve; its own phase measures well."""
    evaluation_samples: int = Field(default=1, ge=1)
    """Completions of each held-out task in such an evaluation."""

    max_fault_share: float = Field(default=0.2, gt=0, le=1)
    """Share of recent verdicts that may be faults of ours before the run stops."""
    rollout_deadline_seconds: float = Field(default=300.0, gt=0)
    """A step waits so long for its groups, then the run stops with an error."""
    trace_samples: int = Field(default=4, ge=0)
    """Completions of each iteration whose text and verdict are kept in the trace."""
    seed: int = 0

    @model_validator(mode="after")
    def _a_completion_fits(self) -> GrpoSettings:
        if self.token_budget < self.max_completion_tokens:
            raise ValueError(
                f"token_budget ({self.token_budget}) must hold one completion: "
                f"raise it to at least max_completion_tokens ({self.max_completion_tokens}) plus the longest prompt"
            )
        return self

    @property
    def completions_per_step(self) -> int:
        """prompts_per_step times group_size."""
        return self.prompts_per_step * self.group_size

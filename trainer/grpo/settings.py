"""Settings of the reinforcement-learning phase. Imports neither torch nor ray.

There is no top_p or top_k: the learner knows the probability of a token only under the whole distribution, so a policy
that is trained must be sampled from all of it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PromptName = Literal["code", "chat", "auto"]
AdvantageName = Literal["mean_std", "mean", "leave_one_out", "max_rl"]
LossName = Literal["grpo", "dapo", "dr_grpo", "gspo", "cispo"]
OverlongName = Literal["keep", "filter", "punish"]

WIDEST_GSPO_CLIP = 0.05
"""GSPO's ratio is a mean over a completion's tokens and hardly leaves 1: its authors clip at 3e-4 and 4e-4."""


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

    shared_prompts: bool = True
    """Completions of a group are packed behind their one prompt, so that it is computed once; exact. Models whose
    attention can't be masked so are trained one row a completion, whatever this says."""
    gradient_checkpointing: bool = False
    """Each layer's activations are computed again in the backward pass: a third slower, for far less memory."""
    bf16: bool = False
    """Compute layers in bf16; weights, logits and the loss stay fp32. For GPUs."""

    lora_rank: int = Field(default=0, ge=0)
    """Train a low-rank adapter (LoRA) of this rank instead of all weights: gradients and optimizer state then take a
    few percent of the memory. It wants a learning rate about ten times as high. 0 trains all weights."""
    lora_alpha: float = Field(default=32.0, gt=0)
    """What the adapter adds is scaled by this over the rank."""
    lora_targets: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers that are adapted; `all-linear` is all but the head."""

    prompts: PromptName = "code"
    """`code` to go on with; `chat`, the request through the model's chat template, of whose answer the Rust is judged;
    `auto` is chat where there is such a template."""
    temperature: float = Field(default=1.0, gt=0, le=2)
    max_completion_tokens: int = Field(default=160, ge=1)

    advantage: AdvantageName = "mean_std"
    loss: LossName = "dapo"
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    clip_high: float = Field(default=0.28, ge=0)
    importance_cap: float = Field(default=3.0, ge=1)
    """Upper bound of a token's importance weight (learner against sampler): a token that the learner now finds far
    likelier than its sampler did can't dominate a step."""
    mask_mean_gap: float = Field(default=0.0, ge=0)
    """A completion is left out whole if learner and sampler differ by more than this, in nats a token on average. 0
    leaves none out."""
    mask_token_gap: float = Field(default=0.0, ge=0)
    """A completion is left out whole if they differ by more than this, in nats, about any of its tokens. 0 leaves none
    out."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the policy that RL started with; above 0 a frozen copy of it is held, or, with an
    adapter, that is left out for a second pass."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """How that divergence is estimated: k1 and k2 pull by KL(policy, start), k3 by KL(start, policy)."""
    overlong: OverlongName = "keep"
    """Completions cut off at max_completion_tokens: `keep` learns from them as from any other; `filter` leaves them in
    their group's baseline, but learns nothing from them; `punish` takes points from every completion that comes near
    the limit."""
    overlong_tokens: int = Field(default=32, ge=1)
    """With `punish`: the last tokens before the limit, over which the punishment grows linearly."""
    overlong_penalty: float = Field(default=15.0, gt=0)
    """With `punish`: points taken at the limit. Half of the reward's scale, as published."""

    refill_groups: int = Field(default=0, ge=0)
    """Dynamic sampling: up to so many groups of a step that teach nothing (equal rewards) are given up, and others
    sampled in their place. 0 trains on what was sampled first."""
    curriculum: bool = False
    """Draw tasks less often whose completions lately all passed or all failed their tests."""

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
    trace_samples: int | None = Field(default=None, ge=0)
    """Completions of each iteration that the trace keeps, from the worst to the best; all, where it is not given."""
    seed: int = 0

    @model_validator(mode="after")
    def _a_completion_fits(self) -> GrpoSettings:
        if self.token_budget < self.max_completion_tokens:
            raise ValueError(
                f"token_budget ({self.token_budget}) must hold one completion: "
                f"raise it to at least max_completion_tokens ({self.max_completion_tokens}) plus the longest prompt"
            )
        return self

    @model_validator(mode="after")
    def _the_method_makes_sense(self) -> GrpoSettings:
        if self.loss == "gspo" and max(self.clip_low, self.clip_high) > WIDEST_GSPO_CLIP:
            raise ValueError(
                f"loss 'gspo' clips the ratio of a whole completion, and bounds of {self.clip_low} and "
                f"{self.clip_high} would clip nothing: set clip_low = 3e-4 and clip_high = 4e-4, as published"
            )
        if self.overlong == "punish" and self.overlong_tokens > self.max_completion_tokens:
            raise ValueError(
                f"overlong_tokens ({self.overlong_tokens}) can't be more than max_completion_tokens "
                f"({self.max_completion_tokens}): every completion would be punished"
            )
        if self.overlong == "punish" and self.advantage == "max_rl":
            raise ValueError(
                "advantage 'max_rl' divides by the mean reward, which overlong = 'punish' can make negative: set "
                "overlong to 'filter' or 'keep', or choose another advantage"
            )
        return self

    @property
    def completions_per_step(self) -> int:
        """prompts_per_step times group_size."""
        return self.prompts_per_step * self.group_size

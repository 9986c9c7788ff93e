"""Settings of evaluation. Imports neither torch, vllm nor ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EvaluationSettings(BaseModel):
    """On what a checkpoint is measured, and how its completions are sampled."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    unseen_tasks: int = Field(default=64, ge=1)
    """Tasks of each unseen split, drawn evenly from its families; all of them where there are fewer."""
    train_tasks: int = Field(default=24, ge=0)
    """Tasks of the training split, to show what was merely memorised."""
    samples_per_task: int = Field(default=4, ge=0)
    """Beside the greedy one."""
    temperature: float = Field(default=0.8, gt=0)
    greedy: bool = True
    """Also take the one completion of each task that the model finds most likely."""
    ks: tuple[int, ...] = (1, 5, 10)
    """pass@k, compile@k and verified@k are given for these k, as far as there are so many samples of a task."""
    extract: bool = False
    """Take the code out of an answer, strictly and leniently, and judge both. Else an answer is judged as it is, which
    is what training rewards."""
    clippy: bool = False
    """The judge lints as well."""
    latency_probes: int = Field(default=0, ge=0)
    """Answers that are asked for one at a time before all else, to measure how long one takes on an idle engine."""
    max_tokens: int = Field(default=200, ge=1)
    seed: int = 0
    rotation: int = Field(default=0, ge=0)
    """Above 0, hidden inputs are drawn anew from tasks' families: another number, other inputs to the same tasks."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap draws of tasks behind each interval."""
    max_fault_share: float = Field(default=0.05, ge=0, le=1)
    """Evaluation fails where more of the samples than this could not be judged through faults of the farm."""

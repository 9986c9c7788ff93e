"""Settings of the model and of supervised training. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

TERNARY_BLOCK = 256
"""GGUF's TQ types pack rows in blocks of 256 weights: a row must be a whole number of them."""


class ModelShape(BaseModel):
    """A decoder-only Llama: RMSNorm, RoPE, SwiGLU, grouped-query attention, tied embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    hidden_size: int = Field(default=256, ge=32)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=2, ge=1)
    ffn_size: int = Field(default=768, ge=32)
    max_positions: int = Field(default=1024, ge=64)
    ternary: bool = True
    """Train the linear layers with 1.58-bit weights {-1, 0, 1} times one scale (straight-through estimator)."""

    @model_validator(mode="after")
    def _shapes_fit(self) -> ModelShape:
        if self.hidden_size % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden_size must be a multiple of heads, and heads a multiple of kv_heads")
        if self.ternary and (self.hidden_size % TERNARY_BLOCK or self.ffn_size % TERNARY_BLOCK):
            raise ValueError(
                f"a ternary model needs hidden_size and ffn_size in multiples of {TERNARY_BLOCK} (GGUF's block), "
                f"not {self.hidden_size} and {self.ffn_size}"
            )
        return self


class PretrainSettings(BaseModel):
    """Supervised training: next-token prediction on crates, then on crates mixed with solved training tasks.

    Steps `0..base_steps` make the base model, `base_steps..target_steps` the supervised one. One learning-rate schedule
    spans both: linear warm-up, constant, linear decay to zero over the last `decay_share` (warmup-stable-decay).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    base_steps: int = Field(default=100, ge=1)
    target_steps: int = Field(default=400, ge=2)
    start_steps: int = Field(default=0, ge=0)
    """Steps on solved training tasks, asked as RL asks, for a model that is given (`start_from`), which then takes
    neither of the above. 0: RL starts with the model as it is."""
    batch_size: int = Field(default=16, ge=1)
    """Windows in an optimizer step."""
    context: int = Field(default=256, ge=16)
    """Tokens in a window."""
    learning_rate: float = Field(default=3e-3, gt=0)
    warmup_steps: int = Field(default=20, ge=0)
    decay_share: float = Field(default=0.3, ge=0, le=1)
    weight_decay: float = Field(default=0.05, ge=0)
    grad_clip: float = Field(default=1.0, gt=0)
    base_task_share: float = Field(default=0.0, ge=0, le=1)
    task_share: float = Field(default=0.8, ge=0, le=1)
    """Share of a supervised step's windows that hold solved training tasks; the rest are crates."""
    checkpoint_interval: int = Field(default=100, ge=1)
    resume_seconds: float = Field(default=15.0, gt=0)
    """A resumable checkpoint is also written this often; it is removed when the next one is on disk."""
    threads: int = Field(default=2, ge=1)
    """torch threads; supervised training runs alone, so it may take every core."""
    device: str = "cpu"
    seed: int = 0

    @model_validator(mode="after")
    def _steps_ordered(self) -> PretrainSettings:
        if self.base_steps >= self.target_steps:
            raise ValueError(f"base_steps ({self.base_steps}) must be below target_steps ({self.target_steps})")
        return self

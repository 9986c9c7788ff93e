"""Settings of the rollout engines. Imports neither torch, vllm nor ray."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RolloutSettings(BaseModel):
    """How completions are sampled for training."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    replicas: int = Field(default=1, ge=1)
    transport: Literal["shm", "ray", "ipc", "nccl"] = "shm"
    """How weights reach an engine: `shm` on the learner's machine; `ray` on any machine, through Ray's object store;
    `ipc` on one GPU shared with the learner; `nccl` on other GPUs."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    max_model_len: int = Field(default=512, ge=64)
    max_num_seqs: int = Field(default=64, ge=1)
    kv_cache_mb: int = Field(default=256, ge=16)
    threads: int = Field(default=1, ge=1)
    """OpenMP threads of a CPU engine. More than 1 pays only when nothing else wants the cores."""
    cpus_per_replica: float = Field(default=0.0, ge=0.0)
    """Cores that Ray reserves for a replica. 0 lets the operating system share those of one machine."""
    gpus_per_replica: float = Field(default=0.0, ge=0.0)
    node_resource: str | None = Field(default=None, min_length=1)
    """A custom resource of Ray of which each replica takes 1: then replicas run only on nodes that have it. With
    `ray` or `nccl`: the other transports don't leave the learner's machine."""
    start_deadline_seconds: float = Field(default=300.0, gt=0)
    push_deadline_seconds: float = Field(default=60.0, gt=0)
    """Each phase of a weight push must end within it, else the replica is STALE."""
    heartbeat_seconds: float = Field(default=5.0, gt=0)
    """Between two questions to an engine how far it is."""
    suspect_seconds: float = Field(default=15.0, gt=0)
    """An engine that has not answered for so long, or has requests and sampled nothing, is SUSPECT and gets no new
    prompts until it goes on."""
    dead_seconds: float = Field(default=120.0, gt=0)
    """For so long, and it is killed, and its prompts go to others. One step, with 4096 tokens of prompts, must take
    less."""
    max_restarts: int = Field(default=3, ge=0)
    """Times that a replica is started anew within restart_window_seconds; past it, it is RETIRED."""
    restart_window_seconds: float = Field(default=600.0, gt=0)

    @model_validator(mode="after")
    def _weights_reach_the_node(self) -> RolloutSettings:
        if self.node_resource and self.transport not in ("ray", "nccl"):
            raise ValueError(
                f"node_resource ('{self.node_resource}') puts replicas on other machines than the learner's, which "
                f"transport = '{self.transport}' doesn't reach: "
                "set transport = 'ray' or 'nccl', or leave node_resource out"
            )
        return self

    @model_validator(mode="after")
    def _suspected_before_it_is_killed(self) -> RolloutSettings:
        if self.dead_seconds <= self.suspect_seconds:
            raise ValueError(
                f"dead_seconds ({self.dead_seconds:g}) must be more than suspect_seconds ({self.suspect_seconds:g})"
            )
        return self

"""Settings of the two servers: of a model, and of the judge. Imports neither ray, fastapi nor llama.cpp."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from reward_farm.settings import FarmSettings


class ServeSettings(BaseModel):
    """Which GGUF file is served, where, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: Path
    """The GGUF file. On a cluster, every node must find it under this path."""
    name: str | None = Field(default=None, min_length=1)
    """The model's id in the API; None takes the name in the file."""
    host: str = "127.0.0.1"
    """Address to listen on. The default answers only this machine; 0.0.0.0 answers everyone, without a password."""
    port: int = Field(default=8080, ge=1, le=65535)
    replicas: int = Field(default=1, ge=1)
    """Copies of the model, one process each."""
    slots: int = Field(default=4, ge=1, le=64)
    """Completions that a replica decodes together, in one batch."""
    threads: int = Field(default=1, ge=1)
    """Threads of a replica. More than there are free cores makes llama.cpp many times slower, for they spin."""
    context_length: int | None = Field(default=None, ge=16)
    """Longest prompt plus completion, in tokens; None takes what the model was trained on."""
    max_queue: int = Field(default=32, ge=0)
    """Requests that may wait for a slot of a replica; past it they are refused with 503 and Retry-After."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Largest request body; past it a request is refused with 413."""
    prompt_cache_mb: int = Field(default=128, ge=0)
    """Memory in which a replica keeps the state of earlier prompts."""
    ray_address: str | None = None
    """A running Ray cluster to deploy on; None takes RAY_ADDRESS, or else starts Ray here and stops it at the end."""


class JudgeSettings(BaseModel):
    """Where the judge's API listens, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on. The default answers only this machine; 0.0.0.0 answers everyone, without a password."""
    port: int = Field(default=8090, ge=1, le=65535)
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Largest request body; past it a request is refused with 413. As many completions as one request may hold fit."""
    deadline_seconds: float = Field(default=60.0, gt=0)
    """Longest wait for verdicts, unless a request names its own; past it 504."""
    farm: FarmSettings = FarmSettings(max_queue=1024)
    ray_address: str | None = None
    """A running Ray cluster to deploy on; None takes RAY_ADDRESS, or else starts Ray here and stops it at the end."""

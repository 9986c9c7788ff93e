"""Settings of the two servers: of a model, and of the judge. Imports neither ray, fastapi nor llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reward_farm.settings import FarmSettings


class ApiKey(BaseModel):
    """A client's key, of which only the hash is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """Whose it is; said to the client, and nobody else."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    per_minute: int | None = Field(default=None, ge=1)
    """Requests a minute that one replica answers; None sets no bound."""


class ServeSettings(BaseModel):
    """Which models are served, where, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: Path
    """A GGUF file, which llama.cpp runs, or a Hugging Face folder, which vLLM runs. On a cluster, each node must
    find it under this path."""
    name: str | None = Field(default=None, min_length=1)
    """The model's id in the API; None takes the name in the file, or the folder's."""
    models: dict[Annotated[str, Field(min_length=1)], Path] = {}
    """More models, by their ids in the API. Every replica loads them all."""
    watch_seconds: float = Field(default=1.0, ge=0)
    """How often files are looked at: one that was replaced is loaded, and takes over with no request lost. 0: never."""
    api_keys: tuple[ApiKey, ...] = ()
    """Who may ask; everybody, where there are none."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of other origins that may ask, such as https://editor.example; `*` is every page in the world."""
    playground: bool = True
    """Whether `/` is a page to try the models on. It loads without a key, and asks for one where keys are wanted."""
    host: str = "127.0.0.1"
    """Address to listen on. The default answers only this machine; 0.0.0.0 answers everyone, without a password."""
    port: int = Field(default=8080, ge=1, le=65535)
    replicas: int = Field(default=1, ge=1)
    """Copies of the models, one process each."""
    max_replicas: int | None = Field(default=None, ge=1)
    """With more than `replicas`, Ray Serve starts further ones while requests wait for slots, and stops them later."""
    slots: int = Field(default=4, ge=1, le=64)
    """Completions that a replica decodes together, in one batch."""
    threads: int = Field(default=1, ge=1)
    """Threads of a replica. More than there are free cores makes llama.cpp many times slower, for they spin."""
    gpus_per_replica: float = Field(default=0.0, ge=0)
    """For models in folders, where vLLM is built for GPUs. llama.cpp runs on cores."""
    context_length: int | None = Field(default=None, ge=16)
    """Longest prompt plus completion, in tokens; None takes what the model was trained on."""
    max_queue: int = Field(default=32, ge=0)
    """Requests that may wait for a slot of a replica; past it they are refused with 429 and Retry-After."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Largest request body; past it a request is refused with 413."""
    prompt_cache_mb: int = Field(default=128, ge=0)
    """Memory in which a replica keeps the state of earlier prompts."""
    drain_seconds: float = Field(default=20.0, gt=0)
    """How long answers that are being written may go on when the server is stopped."""
    farm: FarmSettings | None = None
    """The compilers that check answers where a client asks for it, one farm for all replicas; None offers no checks."""
    ray_address: str | None = None
    """A running Ray cluster to deploy on; None takes RAY_ADDRESS, or else starts Ray here and stops it at the end."""

    @model_validator(mode="after")
    def _check(self) -> ServeSettings:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) is less than replicas ({self.replicas}).")
        if self.name in self.models:
            raise ValueError(f"two models have the same id, '{self.name}'.")
        return self


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

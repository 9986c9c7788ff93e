"""What a run is: the packages' settings in one typed value, from a preset, a file, the command line, the environment.

Imports no torch, vllm or ray: reading a configuration takes milliseconds.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reward_farm.settings import FarmSettings
from rollout.settings import RolloutSettings
from services.errors import ConfigError
from services.layers import Layer, assignment, flatten, validate
from trainer.corpus.settings import CorpusSettings
from trainer.evaluation.settings import EvaluationSettings
from trainer.grpo.settings import GrpoSettings
from trainer.settings import ModelShape, PretrainSettings

PRESETS = Path(__file__).with_name("presets")

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "BATCH_SIZE": ("pretrain.batch_size",),
    "TARGET_STEPS": ("pretrain.target_steps",),
    "CHECKPOINT_INTERVAL": ("pretrain.checkpoint_interval",),
    "RL_ITERATIONS": ("grpo.iterations",),
    "DEVICE": ("pretrain.device",),
}
"""Environment variables and the keys that they set. They win over everything."""

MAY_CHANGE = (
    "cluster.*",
    "corpus.cache_dir",
    "farm.workers",
    "farm.node_resource",
    "farm.start_seconds",
    "farm.max_batch",
    "farm.max_queue",
    "farm.rustc",
    "farm.cache_dir",
    "rollout.replicas",
    "rollout.transport",
    "rollout.node_resource",
    "rollout.start_deadline_seconds",
    "rollout.kv_cache_mb",
    "rollout.max_num_seqs",
    "rollout.gpus_per_replica",
    "rollout.push_deadline_seconds",
    "pretrain.threads",
    "pretrain.device",
    "pretrain.resume_seconds",
    "grpo.token_budget",
    "grpo.learners",
    "grpo.learner_threads",
    "grpo.gpus_per_learner",
    "grpo.resume_seconds",
    "grpo.rollout_deadline_seconds",
    "grpo.trace_samples",
)
"""Keys that say where and how fast, not what: a run may go on with other values of these, and of no others."""


class ClusterSettings(BaseModel):
    """The Ray cluster that a phase starts where RAY_ADDRESS names none. It listens on the loopback address alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    cpus: int | None = Field(default=None, ge=1)
    """CPUs that Ray may give to actors; None takes the machine's."""
    object_store_mb: int = Field(default=256, ge=80)
    """Ray's shared memory. Weights take their own way, so only completions and verdicts pass here."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Where Prometheus may scrape this machine; 0 lets Ray choose."""
    storage: str | None = None
    """Where a copy of the run is kept, and fetched from on a machine without it: s3://bucket/folder, gs:// or file://."""


class TaskSettings(BaseModel):
    """How many tasks the run's bank holds, and how many solved ones are read in supervised training."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    train_per_family: int = Field(default=48, ge=1)
    unseen_tasks_per_family: int = Field(default=12, ge=1)
    unseen_family_tasks: int = Field(default=48, ge=1)
    """Of each family that nothing is trained on."""
    max_difficulty: float = Field(default=1.0, ge=0, le=1)
    """Families above it are not trained on: a small model learns nothing of what it can never solve."""
    documents: int = Field(default=12_000, ge=1)
    """Solved training tasks, drawn anew and far more than the bank holds: few would be learnt by heart."""
    chat_share: float = Field(default=0.2, ge=0, le=1)
    """Share of them that are a request in words and its answer, in the chat template's form."""
    seed: int = 0


class RunConfig(BaseModel):
    """Everything that decides what a run makes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    seed: int = 0
    """Of everything random: a section whose own seed is not given takes this one."""
    start_from: Path | None = None
    """A causal LM to improve, a folder in Hugging Face's form or a GGUF file. Nothing is pre-trained then."""
    corpus: CorpusSettings = CorpusSettings()
    tasks: TaskSettings = TaskSettings()
    model: ModelShape = ModelShape()
    pretrain: PretrainSettings = PretrainSettings()
    grpo: GrpoSettings = GrpoSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    farm: FarmSettings = FarmSettings()
    rollout: RolloutSettings = RolloutSettings()
    cluster: ClusterSettings = ClusterSettings()

    @property
    def supervised_steps(self) -> tuple[int, int]:
        """First and last step of supervised training; equal where a model that was given takes none."""
        train = self.pretrain
        return (train.base_steps, train.target_steps) if self.start_from is None else (0, train.start_steps)

    @model_validator(mode="before")
    @classmethod
    def _one_seed(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and isinstance(tree.get("seed"), int):
            for name in ("corpus", "tasks", "pretrain", "grpo", "evaluation"):
                if isinstance(section := tree.setdefault(name, {}), dict):
                    section.setdefault("seed", tree["seed"])
        return tree

    @model_validator(mode="after")
    def _lengths_fit(self) -> RunConfig:
        longest = max(self.grpo.max_completion_tokens, self.evaluation.max_tokens)
        if longest >= self.rollout.max_model_len:
            raise ValueError(
                f"rollout.max_model_len ({self.rollout.max_model_len}) must hold a prompt and {longest} tokens"
            )
        if self.start_from is None and self.rollout.max_model_len > self.model.max_positions:
            raise ValueError(
                f"rollout.max_model_len ({self.rollout.max_model_len}) is beyond model.max_positions "
                f"({self.model.max_positions})"
            )
        return self

    @model_validator(mode="after")
    def _weights_go_from_where_they_are(self) -> RunConfig:
        if self.rollout.transport in ("nccl", "ipc") and self.grpo.learners:
            raise ValueError(
                f"rollout.transport = '{self.rollout.transport}' sends from the GPU of the process that learns, and "
                f"that must be the driver: set grpo.learners = 0 (it is {self.grpo.learners}), or transport = 'shm' or "
                "'ray'"
            )
        return self

    @model_validator(mode="after")
    def _an_adapter_can_be_merged(self) -> RunConfig:
        if self.grpo.lora_rank and self.start_from is None and self.model.ternary:
            raise ValueError(
                "grpo.lora_rank needs a model of ordinary weights, and model.ternary is set: set grpo.lora_rank = 0, "
                "model.ternary = false, or start_from to a model of yours"
            )
        return self


def preset_names() -> list[str]:
    """Names that `--preset` takes."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def resolve(
    base: str | Path, file: Path | None = None, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> RunConfig:
    """The run that `layers_of` describe.

    Raises:
        ConfigError: an unknown preset, file or key, or a wrong value; with a line for each.
    """
    return validate(RunConfig, layers_of(base, file, sets, environ))


def layers_of(
    base: str | Path, file: Path | None = None, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> list[Layer]:
    """A preset or a run's config.toml; over it a TOML file, `key=value` texts, and last the variables of `environ`.

    Raises:
        ConfigError: an unknown preset or file, or a text that is no assignment.
    """
    if isinstance(base, str) and base not in preset_names():
        raise ConfigError(f"there is no preset {base!r}. Presets: {', '.join(preset_names())}")
    first = base if isinstance(base, Path) else PRESETS / f"{base}.toml"
    layers = [Layer(str(base) if isinstance(base, Path) else f"preset {base}", flatten(read_toml(first)))]
    if file is not None:
        layers.append(Layer(str(file), flatten(read_toml(file))))
    layers += [Layer(f"--set {text}", dict([assignment(text)])) for text in sets]
    layers += [
        Layer(f"environment variable {name}={value}", dict.fromkeys(keys, value))
        for name, keys in VARIABLES.items()
        if (value := (environ or {}).get(name))
    ]
    return layers


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        ConfigError: it is missing or no TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def to_toml(config: RunConfig) -> str:
    """Every key with its value, defaults too: a later release's defaults don't change an old run."""
    tree = config.model_dump(mode="json", exclude_none=True)
    return (
        "\n".join(["# What this run was made with. Written by ferrotype; not for editing.", *_tables(tree, "")]) + "\n"
    )


def changes(old: RunConfig, new: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ and may not, with the old and the new value."""
    before, after = (flatten(c.model_dump(mode="json")) for c in (old, new))
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not any(fnmatch(key, pattern) for pattern in MAY_CHANGE)
    }


def _tables(tree: Mapping[str, Any], name: str) -> list[str]:
    lines = ["", f"[{name}]"] if name else []
    # JSON's strings, numbers, booleans and arrays of those are TOML's as well.
    lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in tree.items() if not isinstance(v, dict)]
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += _tables(value, f"{name}.{key}" if name else key)
    return lines

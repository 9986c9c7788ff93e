"""GRPO as an RLlib Algorithm: the one place where sampler, judge, buffer and learner are wired.

    thread 1 (asyncio)   Collector ◄──► RolloutPool, RewardFarm (Ray actors)
                             │ take                     ▲ push, proved
    thread 0             groups ─► rows ─► LearnerGroup ┘ ─► advance: slots are free

One `training_step` is one optimizer step and one policy version. RLlib gives the learner group, its actors, config,
metrics, checkpointing and Tune; its environment runners are not used, since they can't stream.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.exceptions import RayActorError, RayError
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core import COMPONENT_LEARNER_GROUP, DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import LEARNER_RESULTS

from reward_farm.settings import FarmSettings
from rollout.errors import NoHealthyReplica, PushFailed, ReplicaDied
from rollout.pool import RolloutPool
from rollout.settings import RolloutSettings
from rollout.types import PushReport
from trainer.adapter import Adapter
from trainer.checkpoint import load_checkpoint
from trainer.grpo.asking import Asking
from trainer.grpo.batch import rows_of, to_columns
from trainer.grpo.codec import Codec
from trainer.grpo.collector import Collector, Cursor
from trainer.grpo.errors import LearnerDied, RolloutStalled
from trainer.grpo.group import Group
from trainer.grpo.learner import ITERATION, GRPOLearner
from trainer.grpo.loop_thread import LoopThread
from trainer.grpo.metrics import GrpoMetrics
from trainer.grpo.module import CausalLMModule
from trainer.grpo.record import judged_metrics, training_metrics
from trainer.grpo.settings import GrpoSettings

RESULT = "grpo"
"""Key of `train()`'s result under which the iteration's figures are."""

MAX_REVIVALS = 3
"""Times in one step that the weights are pushed again because no replica serves. Each starts dead engines anew."""

CLOSING_SECONDS = 30.0

LEARNER_FIGURES = (
    "loss", "grad_norm", "learning_rate", "skipped_updates", "micro_batches", "token_budget", "trained_tokens",
    "entropy", "kl", "clip_fraction", "masked_fraction", "logprob_gap_mean", "logprob_gap_max",
    "ratio_p01", "ratio_p50", "ratio_p99",
)  # fmt: skip
"""What the learner logs of a step, beside RLlib's own figures."""


def adapter_of(settings: GrpoSettings) -> Adapter | None:
    """The adapter that is trained, or None where all weights are."""
    if not settings.lora_rank:
        return None
    targets = settings.lora_targets
    named = targets if isinstance(targets, str) else tuple(targets)
    return Adapter(settings.lora_rank, settings.lora_alpha, named, settings.seed)


class GRPOConfig(AlgorithmConfig):
    """`GRPOConfig().training(grpo=..., policy_dir=..., tasks=...).services(rollout=..., farm=...)`."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or GRPO)
        self.rollout = RolloutSettings()
        self.farm = FarmSettings()
        self.policy_dir = Path()
        self.start_dir: Path | None = None
        self.policy_loader = load_checkpoint
        self.tasks: Any = None
        self.cursor = Cursor()
        self.version = 0
        # No environment runners: RLlib then asks for spaces, which nothing looks at.
        self._is_online = False
        self.observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        # The learner looks at the norm of all gradients itself; RLlib would look at every tensor, twice.
        self.torch_skip_nan_gradients = True
        self.training(grpo=GrpoSettings())

    def training(
        self,
        *,
        grpo: GrpoSettings = NotProvided,
        policy_dir: Path = NotProvided,
        start_dir: Path = NotProvided,
        policy_loader: Any = NotProvided,
        tasks: Any = NotProvided,
        cursor: Cursor = NotProvided,
        version: int = NotProvided,
        **kwargs: Any,
    ) -> GRPOConfig:
        """What is trained, on what, and how.

        Args:
            grpo: every number of the algorithm.
            policy_dir: the checkpoint that learners load: a Hugging Face folder with a tokenizer, of ours or not.
            start_dir: the checkpoint that RL began with, when `policy_dir` is a later one. It must stay where it is:
                engines come up from it (and are then pushed the policy), its tokenizer is copied into every checkpoint,
                and the KL term holds on to it.
            policy_loader: `(Path) -> trainer.checkpoint.Checkpoint`, called in each learner.
            tasks: a `TaskSource`.
            cursor, version: where a resumed run stands.
        """
        super().training(**kwargs)
        given = {
            "grpo": grpo,
            "policy_dir": policy_dir,
            "start_dir": start_dir,
            "policy_loader": policy_loader,
            "tasks": tasks,
            "cursor": cursor,
            "version": version,
        }
        for name, value in given.items():
            if value is not NotProvided:
                setattr(self, name, value)
        self.lr, self.grad_clip, self.grad_clip_by = self.grpo.learning_rate, self.grpo.grad_clip, "global_norm"
        self.num_learners, self.num_gpus_per_learner = self.grpo.learners, self.grpo.gpus_per_learner
        self.seed = self.grpo.seed
        return self

    def services(self, *, rollout: RolloutSettings, farm: FarmSettings) -> GRPOConfig:
        """The engines that sample, and the farm that judges."""
        self.rollout, self.farm = rollout, farm
        if rollout.transport == "nccl":
            # Ray gives engines the GPUs from the first on, and knows nothing of the one that its driver takes.
            self.local_gpu_idx = torch.cuda.device_count() - 1
        return self

    @property
    def first_dir(self) -> Path:
        """The checkpoint that RL began with."""
        return Path(self.start_dir or self.policy_dir)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(
            module_class=CausalLMModule,
            model_config={
                "policy_dir": str(self.policy_dir),
                "start_dir": str(self.first_dir),
                "reference": self.grpo.kl_coefficient > 0,
                "adapter": adapter_of(self.grpo),
                "policy_loader": self.policy_loader,
                "temperature": self.grpo.temperature,
                "gradient_checkpointing": self.grpo.gradient_checkpointing,
                "bf16": self.grpo.bf16,
            },
        )

    def get_default_learner_class(self) -> type[GRPOLearner]:
        return GRPOLearner

    def build_learner_connector(self, *args: Any, **kwargs: Any) -> None:
        """None: batches are token ids already, not episodes."""


class GRPO(Algorithm):
    """See the module. `version`: the policy version that the sampler serves.

    `groups`, `record`, `events`: of the last step; the groups that it gave up come last; what became of replicas.
    """

    learner_group: Any
    """RLlib's, which its `setup` makes."""

    @classmethod
    def get_default_config(cls) -> GRPOConfig:
        return GRPOConfig()

    def setup(self, config: GRPOConfig) -> None:
        self.version: int = self.config.version
        self.groups: list[Group] = []
        self.events: list[str] = []
        self.record: dict[str, float] = {}
        self._settings: GrpoSettings = self.config.grpo
        self._loop = LoopThread("grpo-collector")
        try:
            super().setup(config)
            self._asking = Asking(Codec(self.config.first_dir), self._settings.prompts)
            self._loop.run(self._open_services(), self.config.rollout.start_deadline_seconds)
            # Also the weights that the engines came up with: what they compute is proved before anything is sampled.
            self._push(self.version)
        except BaseException:
            self.cleanup()
            raise
        self._exported = GrpoMetrics()

    async def _open_services(self) -> None:
        from reward_farm.pool import RewardFarm

        self._farm = RewardFarm(self.config.farm)
        self._pool = await RolloutPool.start(self.config.first_dir, self.config.rollout, self._asking.eos_token_id)
        self._collector = self._new_collector(self.config.cursor)

    def _new_collector(self, cursor: Cursor) -> Collector:
        return Collector(
            sampler=self._pool,
            farm=self._farm,
            asking=self._asking,
            tasks=self.config.tasks,
            settings=self._settings,
            version=self.version,
            cursor=cursor,
        )

    async def _restart_collector(self, cursor: Cursor) -> None:
        await self._collector.close()
        self._collector = self._new_collector(cursor)

    def training_step(self) -> None:
        """One policy version: wait for the groups, one optimizer step, push, free the slots."""
        started = time.perf_counter()
        groups = self._take()
        if self.config.rollout.transport == "ipc" and not self._settings.max_lag:
            # Nothing is in flight: engine and learner take turns with the memory of their GPU.
            self._loop.run(self._pool.rest(), self.config.rollout.push_deadline_seconds)
        taken = time.perf_counter()
        learned = self._update(groups)
        updated = time.perf_counter()
        self._push(self.version + 1)
        trained_version, self.version = self.version, self.version + 1
        filtered = self._collector.filtered
        self._loop.run(self._collector.advance(self.version), CLOSING_SECONDS)
        ended = time.perf_counter()
        self.groups = [*groups, *filtered]
        record = training_metrics(groups, trained_version, filtered) | learned
        record |= {
            "policy_version": float(self.version),
            "iterations": 1.0,
            "discarded_groups": float(self._collector.discarded),
            "skipped_tasks": float(self._collector.skipped),
            "seconds": ended - started,
            "seconds_rollout_wait": taken - started,
            "seconds_update": updated - taken,
            "seconds_push": ended - updated,
            "tokens_per_second": record["tokens"] / (ended - started),
            "verdicts_per_second": record["completions"] / (ended - started),
        }
        farm = self._farm.stats()
        record |= {"farm_ready": float(farm.ready), "farm_waiting": float(farm.waiting)}
        record["replica_restarts"] = float(self._pool.restarts)
        self.events = self._pool.take_events()
        self.record = record
        self._exported.observe(record)
        for name, value in record.items():
            self.metrics.log_value((RESULT, name), value, window=1)

    def _take(self) -> list[Group]:
        self._loop.run(self._collector.start(), CLOSING_SECONDS)
        return self._sampled(self._collector.take, f"the groups of iteration {self.version + 1}")

    def _sampled(self, work: Callable[[], Coroutine[Any, Any, list[Group]]], what: str) -> list[Group]:
        """What `work` collects, within the deadline. When no replica serves, they are given the weights again first."""
        deadline = time.monotonic() + self._settings.rollout_deadline_seconds
        for _ in range(MAX_REVIVALS):
            try:
                return self._loop.run(work(), max(0.0, deadline - time.monotonic()))
            except NoHealthyReplica:
                self._push(self.version)
                self._loop.run(self._collector.recover(), CLOSING_SECONDS)
            except TimeoutError as error:
                raise RolloutStalled(
                    f"{what} were not complete after {self._settings.rollout_deadline_seconds:.0f} s "
                    f"({self._collector.progress}). Replicas: {self._pool.health}. "
                    "Raise grpo.rollout_deadline_seconds, or sample less a step."
                ) from error
        raise RolloutStalled(
            f"no rollout replica stayed up long enough for {what}, though the weights were pushed "
            f"{MAX_REVIVALS} times: {self._pool.health}. Run the same command again to go on from the last checkpoint."
        )

    def _update(self, groups: Sequence[Group]) -> dict[str, float]:
        """The optimizer step, unless no completion was better than its siblings. Returns the learner's figures."""
        rows = rows_of(groups, self._settings)
        if not rows:
            return {"trained_tokens": 0.0}
        batch = SampleBatch(to_columns(rows, self._settings))
        with self._learner_deaths_said():
            results = self.learner_group.update(
                batch=MultiAgentBatch({DEFAULT_MODULE_ID: batch}, env_steps=len(batch)),
                timesteps={ITERATION: self.version},
            )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        figures = self.metrics.peek((LEARNER_RESULTS, DEFAULT_MODULE_ID))
        return {name: float(figures[name]) for name in LEARNER_FIGURES if name in figures}

    def _push(self, version: int) -> PushReport:
        """Give the sampler the learner's weights as `version`, proved. An engine that dies of it gets another try.

        Raises the rollout package's errors.
        """
        weights, canary = self._on_learner(lambda learner: (learner.policy_weights(), learner.canary()))
        # Four phases, and a dead engine may have to start first.
        deadline = 4 * self.config.rollout.push_deadline_seconds + self.config.rollout.start_deadline_seconds
        try:
            return self._loop.run(self._pool.push(weights, version, canary), deadline)
        except (ReplicaDied, PushFailed):
            return self._loop.run(self._pool.push(weights, version, canary), deadline)

    def evaluate_tasks(self, tasks: Sequence[Any], label: str) -> dict[str, float]:
        """`judged_metrics` of the current policy on held-out tasks; nothing of it is trained on."""
        samples = self._settings.evaluation_samples
        return judged_metrics(
            self._sampled(lambda: self._collector.sample(tasks, samples, label), f"the completions of {label}")
        )

    def save_policy(self, directory: Path, progress: Mapping[str, Any]) -> Path:
        """Write the whole checkpoint of the current version: policy, optimizer, cursor.

        Raises:
            trainer.errors.CheckpointError: it can't be written.
        """
        cursor = self._collector.cursor
        state = {
            "policy_version": self.version,
            "next_index": cursor.next_index,
            "unfinished": list(cursor.unfinished),
            "task_history": cursor.history,
            **progress,
        }
        path: Path = self._on_learner(
            GRPOLearner.save_policy, directory, self.config.first_dir, step=self.version, progress=state
        )
        return path

    def _on_learner(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a method of one learner; all hold the same policy."""
        first = None if self.learner_group.is_local else [0]
        with self._learner_deaths_said():
            results = self.learner_group.foreach_learner(
                lambda learner: method(learner, *args, **kwargs), remote_actor_ids=first
            ).result_or_errors
            if not results:  # RLlib does not ask those that it knows to be dead
                raise RayActorError
            answer = results[0].get()
            if not results[0].ok:
                raise answer
            return answer

    @contextlib.contextmanager
    def _learner_deaths_said(self) -> Iterator[None]:
        """Raises LearnerDied where a learner's process ended. The others then fail too: they wait for its gradient."""
        try:
            yield
        except RayError as error:
            manager = self.learner_group._worker_manager
            if not isinstance(error, RayActorError) and manager.num_healthy_actors() == manager.num_actors():
                raise
            raise LearnerDied(
                f"a learner died in iteration {self.version + 1}. The log has its last words; memory is the commonest "
                "cause (`dmesg`). Run the same command again to go on from the last checkpoint."
            ) from error

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        cursor = self._collector.cursor
        return {
            **super().get_state(*args, **kwargs),
            "version": self.version,
            "cursor": (cursor.next_index, cursor.unfinished, cursor.history),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore learner, version and cursor; the sampler gets the weights before anything is sampled."""
        rest = dict(state)
        learner = rest.pop(COMPONENT_LEARNER_GROUP, None)
        if learner is not None:
            self.learner_group.set_state(learner)
        super().set_state(rest)
        if "version" in state:
            self._go_on_from(state["version"], Cursor(*state["cursor"]))

    def replace_learners(self, policy_dir: Path, version: int, cursor: Cursor) -> None:
        """New learners from the checkpoint `policy_dir`, in place of those of which one died. Engines and farm stay."""
        self.learner_group.shutdown()
        config = self.config.copy(copy_frozen=False).training(policy_dir=policy_dir)
        self.learner_group = config.build_learner_group()
        self._go_on_from(version, cursor)

    def _go_on_from(self, version: int, cursor: Cursor) -> None:
        self.version = version
        self._push(version)
        self._loop.run(self._restart_collector(cursor), CLOSING_SECONDS)

    def restore_from_path(self, path: Any, *args: Any, **kwargs: Any) -> None:
        # Algorithm's own would send the weights to environment runners, of which there are none.
        Checkpointable.restore_from_path(self, path, *args, **kwargs)

    def cleanup(self) -> None:
        """End the collector, the engines, the farm, the thread and the learners. May be called twice."""
        try:
            self._loop.run(self._close_services(), CLOSING_SECONDS)
        finally:
            self._loop.close()
            super().cleanup()
            with contextlib.suppress(OSError):
                # Ray made a folder for logs that only Tune writes; outside of Tune it is empty.
                Path(self.logdir).rmdir()

    async def _close_services(self) -> None:
        for name in ("_collector", "_pool", "_farm"):
            service = self.__dict__.pop(name, None)
            if service is not None:
                await service.close()

"""Evaluation with the real compiler, tests and tokenizer; the model is played: its completions are written here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Verdict
from rollout.types import Completion, GenerationRequest, VersionSpan
from trainer.corpus.tokenizer import train_tokenizer
from trainer.evaluation.answers import sampled_by
from trainer.evaluation.errors import TooManyFaults
from trainer.evaluation.evaluation import Evaluation, load_evaluation
from trainer.evaluation.evaluator import Subject, evaluate
from trainer.evaluation.journal import read_samples
from trainer.evaluation.sample import Identity, Mode, plan_samples
from trainer.evaluation.settings import EvaluationSettings
from trainer.grpo.codec import Codec
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split, Task

SETTINGS = EvaluationSettings(samples_per_task=4, max_tokens=400)
IDENTITY = Identity("checkpoint", "rustc")
HAVE_DEFAULTS = ("bool", "usize", "i32", "i64", "u32", "u64", "String", "Vec<i32>", "Option<i32>", "Option<usize>")


class Playback:
    """Answers each request with what is written for it, as a model would: token by token, ended by end-of-text."""

    def __init__(self, codec: Codec, tasks: Sequence[Task]) -> None:
        self.codec = codec
        self.asked: list[str] = []
        self.texts: dict[str, str] = {}
        self.dies_after: int | None = None
        for plan in plan_samples(tasks, SETTINGS, IDENTITY):
            wrong = "\n    Default::default()\n}\n"
            unresolved = "\n    undefined_name\n}\n"
            answers = (plan.task.reference, wrong, unresolved, "\n    let = ;;)\n")
            self.texts[plan.text_key] = plan.task.reference if plan.mode is Mode.GREEDY else answers[plan.index]

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        for number, request in enumerate(requests):
            if number == self.dies_after:
                raise RuntimeError("the engine is gone")
            self.asked.append(request.id)
            ids = (*self.codec.encode(self.texts[request.id]), self.codec.eos_token_id)
            yield Completion(
                request.id, request.prompt_ids, ids, (-0.1,) * len(ids), "stop", (VersionSpan(0, 0, len(ids)),)
            )
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def tasks(bank: TaskBank) -> list[Task]:
    """Two tasks of each unseen split whose return type has a default that the hidden cases refute."""
    fit = [task for task in bank.all if task.problem.returns in HAVE_DEFAULTS and task.problem.cases]
    return [
        task
        for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES)
        for task in [t for t in fit if t.split is split][:2]
    ]


@pytest.fixture(scope="module")
def codec(bank: TaskBank, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("tokenizer") / "rust"
    train_tokenizer([task.prompt + task.reference for task in bank.all], 512, folder)
    return Codec(folder)


@pytest.fixture(scope="module")
def judge() -> Iterator[Callable[[Submission], Awaitable[Verdict]]]:
    """The real judge, without the pool of actors around it."""
    with Judge(FarmSettings()) as real, ThreadPoolExecutor(max_workers=1) as one_at_a_time:

        async def judge(submission: Submission) -> Verdict:
            loop = asyncio.get_running_loop()
            return (await loop.run_in_executor(one_at_a_time, real.judge, [submission]))[0]

        yield judge


@pytest.fixture
def run(
    codec: Codec, tasks: list[Task], judge: Callable[..., Awaitable[Verdict]], tmp_path: Path
) -> Callable[..., Evaluation]:
    """Evaluate into this test's folder."""

    def run(playback: Playback, judge: Callable[..., Awaitable[Verdict]] = judge) -> Evaluation:
        return asyncio.run(
            evaluate(
                Subject("played", "checkpoint", IDENTITY),
                tasks,
                answers=sampled_by(playback.generate, codec, SETTINGS.max_tokens),
                judge=judge,
                settings=SETTINGS,
                out_dir=tmp_path,
            )
        )

    return run


def test_rates_are_exactly_those_of_the_completions(run, codec, tasks, tmp_path: Path):
    evaluation = run(Playback(codec, tasks))
    for split in (Split.UNSEEN_TASKS, Split.UNSEEN_FAMILIES):
        group = evaluation.group(split)
        assert (group.tasks, group.samples, group.faults) == (2, 8, 0)
        values = {name: figure.value for name, figure in group.figures.items()}
        assert (values["parse_rate"], values["compile_rate"], values["pass_rate"]) == (0.75, 0.5, 0.25)
        assert (values["solved_rate"], values["distinct_share"], values["truncated_rate"]) == (1.0, 1.0, 0.0)
        assert group.error_codes["E0425"] == 2
        assert group.outcomes["passed"] == 2 and group.outcomes["compile_error"] == 2
        greedy = evaluation.group(split, Mode.GREEDY)
        assert greedy.figures["pass_rate"].value == 1.0
        assert greedy.figures["pass_rate"].method == "wilson"
    stored, samples = load_evaluation(tmp_path / "played.json")
    assert stored == evaluation and len(samples) == 20
    answered = next(s for s in samples if s.mode is Mode.GREEDY)
    reference = next(task for task in tasks if task.id == answered.task).reference
    assert answered.completion == reference
    assert answered.scored is not None and answered.scored.isolation


def test_killed_half_way_it_makes_only_what_is_missing(run, codec, tasks, tmp_path: Path):
    whole = run(Playback(codec, tasks))
    (tmp_path / "played.json").unlink()
    for name, kept in (("played.jsonl", 7), ("played.generations.jsonl", 9)):
        lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
        (tmp_path / name).write_bytes(b"".join(lines[:kept]) + lines[kept][:-30])
    second = Playback(codec, tasks)
    again = run(second)
    assert len(second.asked) == 11
    assert again.reused_samples == 7
    assert again.groups == whole.groups
    third = Playback(codec, tasks)
    assert run(third).groups == whole.groups and third.asked == []


def test_an_engine_that_dies_leaves_what_was_judged(run, codec, tasks, tmp_path: Path):
    dying = Playback(codec, tasks)
    dying.dies_after = 9
    with pytest.raises(RuntimeError, match="the engine is gone"):
        run(dying)
    kept = read_samples(tmp_path / "played.jsonl")
    assert len(kept) <= 9
    living = Playback(codec, tasks)
    run(living)
    assert len(living.asked) == 20 - 9


def test_faults_are_counted_tried_again_and_never_zeros(run, codec, tasks, judge, tmp_path: Path):
    broken = {plan.key for plan in plan_samples(tasks, SETTINGS, IDENTITY)[:1]}

    async def sometimes(submission: Submission) -> Verdict:
        return InfraFault(submission.id, "disk full") if submission.id in broken else await judge(submission)

    evaluation = run(Playback(codec, tasks), sometimes)
    assert evaluation.faults == {"disk full": 1}
    greedy = evaluation.group(Split.UNSEEN_TASKS, Mode.GREEDY)
    assert (greedy.samples, greedy.faults, greedy.figures["pass_rate"].value) == (1, 1, 1.0)
    mended, judged = Playback(codec, tasks), []

    async def counting(submission: Submission) -> Verdict:
        judged.append(submission.id)
        return await judge(submission)

    assert run(mended, counting).faults == {}
    assert (mended.asked, judged) == ([], list(broken))

    broken |= {plan.key for plan in plan_samples(tasks, SETTINGS, IDENTITY)}
    (tmp_path / "played.jsonl").unlink()
    with pytest.raises(TooManyFaults, match=r"20 of 20 completions of played .*disk full"):
        run(Playback(codec, tasks), sometimes)


def test_a_failing_judge_stops_at_once_with_its_own_error(run, codec, tasks):
    async def overloaded(submission: Submission) -> Verdict:
        raise OSError("queue full")

    playback = Playback(codec, tasks)
    with pytest.raises(OSError, match="queue full"):
        run(playback, overloaded)
    assert len(playback.asked) < 20


def test_other_tasks_and_checkpoints_are_not_mistaken_for_these(run, codec, tasks, tmp_path: Path):
    run(Playback(codec, tasks))
    kept = read_samples(tmp_path / "played.jsonl")
    for settings, identity in [
        (SETTINGS, replace(IDENTITY, checkpoint_sha256="other")),
        (SETTINGS.model_copy(update={"temperature": 0.7, "greedy": False}), IDENTITY),
    ]:
        assert kept.keys().isdisjoint(plan.key for plan in plan_samples(tasks, settings, identity))

"""`ferrotype eval`: a group, so that commands about evaluations find their place in it; by itself it evaluates.

Imports nothing heavy before it runs.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services.config import RunConfig, resolve
from services.errors import RunFolderError, UserError
from services.run_folder import RunFolder

if TYPE_CHECKING:
    from services.evaluate_bank import Bench
    from services.models.model import Model
    from trainer.evaluation.evaluation import Evaluation
    from trainer.evaluation.settings import EvaluationSettings

eval_app = typer.Typer(help="Measure a model: parses, compiles, passes, with confidence intervals.")

DEFAULT_KS = (1, 5, 10)
PROBES = 20
"""Answers that are timed one at a time."""
Form = Literal["auto", "base", "chat", "fim"]


@eval_app.callback(invoke_without_command=True)
def evaluate(
    context: typer.Context,
    checkpoint: Annotated[Path | None, typer.Option(help="A folder of a run's checkpoint, or any HF model's.")] = None,
    gguf: Annotated[Path | None, typer.Option(help="A GGUF file.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of an OpenAI API.")] = None,
    model: Annotated[str | None, typer.Option(help="The endpoint's model; not needed if it has one.")] = None,
    samples: Annotated[Path | None, typer.Option(help="Judge the answers in this JSONL file, and ask nobody.")] = None,
    tasks: Annotated[Path | None, typer.Option(help="A bank; a run's checkpoint without one takes the run's.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Of these splits; else all but train. Repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many tasks, spread over the families.")] = None,
    samples_per_task: Annotated[int, typer.Option(min=1)] = 10,
    k: Annotated[str | None, typer.Option(help="For pass@k and compile@k, such as 1,5,10.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest answer alone.")] = 0.8,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 512,
    seed: int = 0,
    rotation: Annotated[int, typer.Option(min=0, help="Hidden inputs drawn anew by this number; 0: the bank's.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="A rotation that never was; it is said.")] = False,
    form: Annotated[Form, typer.Option(help="How tasks are put; auto looks at the tokenizer.")] = "auto",
    generate_only: Annotated[bool, typer.Option("--generate-only", help="Judge nothing yet.")] = False,
    at_once: Annotated[int, typer.Option(min=1, help="Questions that an endpoint gets at a time.")] = 8,
    workers: Annotated[int | None, typer.Option(min=1, help="Judges, one a core.")] = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep verdicts for other evaluations.")] = True,
    gate: Annotated[Path | None, typer.Option(help="Criteria, TOML; exits with 1 if one is not met.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; else evaluation/.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="section.key=value. May be repeated.")] = None,
) -> None:
    """Measure a model: parses, compiles, passes, with confidence intervals."""
    if context.invoked_subcommand is not None:
        return
    given = [name for name, value in {
        "--checkpoint": checkpoint, "--gguf": gguf, "--endpoint": endpoint, "--samples": samples,
    }.items() if value is not None]  # fmt: skip
    if len(given) != 1:
        raise UserError(
            f"{' and '.join(given) if given else 'nothing to evaluate is'} given: give one of --checkpoint FOLDER, "
            "--gguf FILE, --endpoint URL and --samples FILE."
        )
    if samples is not None and generate_only:
        raise UserError("--samples judges what was generated; --generate-only judges nothing. Give one of them.")
    ks = _ks(k, samples_per_task, temperature)
    from trainer.evaluation.criteria import load_criteria

    criteria = load_criteria(gate)  # before anything long: a slip in it is told at once
    if tasks is None:
        if checkpoint is None:
            raise UserError(
                "--tasks BANK is needed: a bank's file, such as `ferrotype tasks build --output BANK` makes."
            )
        folder = out or RunFolder.of(checkpoint).evaluation
        evaluation = _on_its_run(checkpoint, folder, sets)
    else:
        from services.evaluate_bank import Bench, choose_tasks, evaluate_model, generate_with, judge_samples
        from trainer.evaluation.form import PromptForms
        from trainer.tasks.bank import TaskBank
        from trainer.tasks.cases import rotated

        if fresh:
            rotation = int(time.time())
            print(f"hidden inputs drawn anew: --rotation {rotation} draws them again")
        run, folder = _run_of(checkpoint), out or Path("evaluation")
        config = _config(run, sets)
        bench = Bench(
            tuple(rotated(choose_tasks(TaskBank.load(tasks), split or (), limit, seed), rotation)),
            _settings(samples_per_task, ks, temperature, max_tokens, seed, rotation),
            config.farm.model_copy(update={"clippy": True, "workers": workers or _judges(beside=samples is None)}),
            folder,
            config.farm.cache_dir.expanduser() / "verdicts.sqlite" if cache else None,
        )
        if samples is not None:
            forms = PromptForms("base" if form == "auto" else form, True, ("", "", ""))
            evaluation = judge_samples(samples, bench, forms)
        else:
            asked = _model(bench, checkpoint, gguf, endpoint, model, form, at_once, config, run)
            print(f"{asked.label}: {asked.forms.said}; {len(bench.tasks)} tasks")
            if generate_only:
                print(generate_with(asked, bench))
                return
            evaluation = evaluate_model(asked, bench)
    from services.evaluation_text import lines
    from trainer.evaluation.criteria import findings

    found = findings(evaluation, criteria)
    for line in lines(evaluation, found):
        print(line)
    from services.report.evaluation.report import write_evaluation_report

    evaluation = evaluation.model_copy(update={"command": shlex.join(["ferrotype", *sys.argv[1:]])})
    evaluation.save(folder)
    name = evaluation.label
    print(f"report: {write_evaluation_report([folder / f'{name}.json'], folder / f'{name}-report')}")
    if gate is not None and not all(finding.met for finding in found):
        raise typer.Exit(1)


def _on_its_run(checkpoint: Path, out: Path, sets: list[str] | None) -> Evaluation:
    run = RunFolder.of(checkpoint)
    config = resolve(run.config_file, sets=sets or ())
    from services.evaluate import evaluate_one

    return evaluate_one(checkpoint, run, config, out, PROBES)


def _model(
    bench: Bench,
    checkpoint: Path | None,
    gguf: Path | None,
    endpoint: str | None,
    name: str | None,
    form: Form,
    at_once: int,
    config: RunConfig,
    run: RunFolder | None,
) -> Model:
    max_tokens = bench.settings.max_tokens
    if gguf is not None:
        from services.models.gguf import gguf_model

        return gguf_model(gguf, form, max_tokens, max(1, config.rollout.threads))
    if endpoint is not None:
        from services.models.endpoint import endpoint_model

        return endpoint_model(endpoint, name, form, max_tokens, at_once)
    assert checkpoint is not None  # one of the three was given
    from services.models.checkpoint import checkpoint_model

    if run is not None and form == "auto":
        why = "as the run's models are trained"
        return checkpoint_model(checkpoint, bench.tasks, config, "base", max_tokens, why)
    return checkpoint_model(checkpoint, bench.tasks, config, form, max_tokens)


def _settings(
    samples_per_task: int, ks: tuple[int, ...], temperature: float, max_tokens: int, seed: int, rotation: int
) -> EvaluationSettings:
    from trainer.evaluation.settings import EvaluationSettings

    common = EvaluationSettings(
        max_tokens=max_tokens, seed=seed, rotation=rotation, ks=ks, extract=True, clippy=True, latency_probes=PROBES
    )
    drawn = (
        {"samples_per_task": samples_per_task, "temperature": temperature} if temperature else {"samples_per_task": 0}
    )
    return common.model_copy(update=drawn)


def _ks(text: str | None, samples: int, temperature: float) -> tuple[int, ...]:
    """The k that were asked for; else the usual ones that there are samples for."""
    if text is None:
        return tuple(k for k in DEFAULT_KS if k <= samples) if temperature else (1,)
    try:
        ks = tuple(sorted({int(each) for each in text.split(",")}))
    except ValueError:
        ks = (0,)
    if ks[0] < 1:
        raise UserError(f"--k {text!r}: give whole numbers from 1 on, such as --k 1,5,10.")
    most = samples if temperature else 1
    if ks[-1] > most:
        raise UserError(
            f"--k {text}: pass@{ks[-1]} needs {ks[-1]} samples of each task, and there will be {most}. "
            f"Give --samples-per-task {ks[-1]}{'' if temperature else ' and a --temperature above 0'}."
        )
    return ks


def _run_of(checkpoint: Path | None) -> RunFolder | None:
    try:
        return None if checkpoint is None else RunFolder.of(checkpoint)
    except RunFolderError:
        return None


def _config(run: RunFolder | None, sets: list[str] | None) -> RunConfig:
    if run is not None:
        return resolve(run.config_file, sets=sets or ())
    from services.doctor import gpu_names

    return resolve("production" if gpu_names() else "embedded", None, sets or (), os.environ)


def _judges(beside: bool) -> int:
    """One a core, but for the one on which the model answers."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores - 1) if beside else cores


@eval_app.command("verify")
def verify(
    bank: Annotated[Path, typer.Argument(help="A bank of tasks, such as `ferrotype tasks import` writes.")],
    output: Annotated[Path | None, typer.Option(help="The same bank, with what is not verified tagged.")] = None,
) -> None:
    """Prove a benchmark: known answers pass twice, `todo!()` never. Exits with 1 if a known answer does not pass."""
    from services.verify import verify_benchmark

    raise typer.Exit(0 if verify_benchmark(bank, output) else 1)

"""`ferrotype export`: a checkpoint as a GGUF file, a Hugging Face folder or an adapter, after saying what that costs.

Chooses types, gathers what the file says of itself, and words refusals. Trains and serves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from services.errors import RunFolderError, UserError
from services.run_folder import RunFolder, write_text
from trainer.export.card import CardTable, model_card
from trainer.export.errors import ExportError, NotTernary
from trainer.export.facts import Fact, Facts, read_facts
from trainer.export.hf_folder import export_adapter, export_folder, merged
from trainer.export.packing import TERNARY_TYPES, EmbeddingType, LinearType
from trainer.export.reference import Reference
from trainer.export.shape import read_config, read_shape
from trainer.export.writer import ExportReport, export_gguf, require_ternary
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.task import Split, Task

FOLDERS = ("hf", "lora")
KINDS = {"ternary": "TQ2_0", **{kind.lower(): kind for kind in get_args(LinearType)}}
EMBEDDINGS = {kind.lower(): kind for kind in get_args(EmbeddingType)}

SOURCES = 20
"""Held-out sources that losses and parity are measured on; so many settle both in seconds."""

MADE_TASKS = 4
"""Drawn of each family, for a model that has no bank of its own: none of them is ever trained on."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. `kind` and `embeddings` in any case; "auto" lets the model decide."""

    checkpoint: Path
    output: Path
    kind: str = "auto"
    embeddings: str = "auto"
    licence: str | None = None
    tasks: Path | None = None
    card: Path | None = None
    compile_tasks: int = 0
    verify: bool = False
    force: bool = False


def export(order: Order) -> None:
    """Do it, and say what was done.

    Raises:
        UserError: the order contradicts itself.
        TrainerError: the checkpoint or the place to write to is not fit for it.
    """
    kind, embeddings = order.kind.lower(), order.embeddings.lower()
    _check(order, kind, embeddings)
    with merged(order.checkpoint) as checkpoint:
        facts = read_facts(checkpoint, order.licence, run_facts(order.checkpoint))
        if kind in FOLDERS:
            _folder(order, checkpoint, facts, kind)
            return
        name = read_shape(checkpoint, read_config(checkpoint)).name
        chosen = linear_type(checkpoint) if kind == "auto" else cast(LinearType, KINDS[kind])
        report, tables = _gguf(order, checkpoint, facts, chosen, embeddings)
    print(said(report, order.output))
    if order.card is not None:
        what = f"{order.output.name}: GGUF for llama.cpp, linear layers {report.linear_type}, embedding "
        what += f"{report.embedding_type}, {report.bytes / 1e6:.2f} MB, {report.parameters / 1e6:.2f}M parameters."
        usage = f"ferrotype serve --model {order.output.name}\nllama-server -m {order.output.name}"
        write_text(order.card, model_card(name, what, facts, usage, tables))
        print(f"card: {order.card}")


def linear_type(checkpoint: Path) -> LinearType:
    """TQ2_0 for a model that was trained ternary, else Q8_0."""
    return "TQ2_0" if (read_config(checkpoint).get("ferrotype") or {}).get("ternary") else "Q8_0"


def embedding_type(reference: Reference, sources: Sequence[str]) -> EmbeddingType:
    """The smallest that costs next to nothing; says what was measured."""
    costs = reference.embedding_costs(reference.encode(sources))
    print(f"embedding {costs[-1].kind}, by nats a token: {'; '.join(map(str, costs))}")
    return costs[-1].kind


def run_facts(checkpoint: Path) -> dict[str, Fact]:
    """What a checkpoint's run knows of it: its corpus, and how it did if it is what a phase ended with."""
    try:
        run = RunFolder.of(checkpoint)
    except RunFolderError:
        return {}
    facts: dict[str, Fact] = {}
    if corpus := run.finished("corpus"):
        facts |= {f"corpus_{key}": corpus.summary[key] for key in ("tokens", "tasks") if key in corpus.summary}
    evaluated = run.finished("evaluation")
    for phase in ("supervised", "rl"):
        made = run.finished(phase)
        if evaluated and made and (run.root / str(made.summary.get("checkpoint"))).absolute() == checkpoint.absolute():
            rates = {key: evaluated.summary.get(f"{phase}_{key}") for key in ("compile_rate", "pass_rate")}
            facts |= {f"unseen_{key}": round(rate, 4) for key, rate in rates.items() if isinstance(rate, float)}
    return facts


def held_out(checkpoint: Path, bank: Path | None) -> tuple[Task, ...]:
    """Tasks that the model was not trained on: of the bank that is given, of its run's, or freshly made ones.

    Raises:
        UserError: the bank has none with a known solution.
    """
    if bank is None:
        try:
            bank = RunFolder.of(checkpoint).tasks
        except RunFolderError:
            bank = None
    made = build_bank(0, 0, MADE_TASKS, MADE_TASKS) if bank is None or not bank.exists() else TaskBank.load(bank)
    splits = [split for split in Split if made.tasks(split)]
    split = Split.UNSEEN_TASKS if Split.UNSEEN_TASKS in splits else [*splits, Split.TRAIN][0]
    tasks = tuple(task for task in made.sample(split, len(made)) if task.solved)
    if not tasks:
        raise UserError(f"{bank} has no task with a known solution, so there is no text to measure a loss on.")
    return tasks


def said(report: ExportReport, path: Path) -> str:
    """What was written, in a line."""
    padding = f", filled up with zeros: {report.padding}" if report.padding else ""
    return (
        f"{path}: {report.bytes / 1e6:.2f} MB ({report.share_of_f16:.2f} of two bytes a parameter), "
        f"{report.parameters / 1e6:.2f}M parameters, {report.linear_type}, embedding {report.embedding_type}{padding}"
    )


def _check(order: Order, kind: str, embeddings: str) -> None:
    if kind not in ("auto", *KINDS, *FOLDERS):
        raise UserError(f"--type {order.kind} is not known. Types: auto, {', '.join((*KINDS, *FOLDERS))}.")
    if embeddings not in ("auto", *EMBEDDINGS):
        raise UserError(f"--embeddings {order.embeddings} is not known. Types: auto, {', '.join(EMBEDDINGS)}.")
    if kind in FOLDERS:
        given = {
            "--embeddings": embeddings != "auto", "--verify": order.verify, "--force": order.force,
            "--tasks": order.tasks is not None, "--card": order.card is not None,
        }  # fmt: skip
        if senseless := [name for name, there in given.items() if there]:
            raise UserError(
                f"{', '.join(senseless)} can't go with --type {kind}, which writes a folder as it is, with a card."
            )
        return
    # Before minutes of work, not after.
    for name, path in {"--output": order.output, "--card": order.card}.items():
        if path is not None and path.is_dir():
            raise UserError(f"{name} {path} is a folder. Give the name of the file to write in it.")
        if path is not None and (around := next(each for each in path.absolute().parents if each.exists())).is_file():
            raise UserError(f"{name} {path}: {around} is a file, so nothing can be written in it. Give another path.")
    if order.force and KINDS.get(kind) not in TERNARY_TYPES:
        raise UserError(f"--force rounds weights to ternary ones, and --type {kind} keeps them. Leave one of them out.")


def _folder(order: Order, checkpoint: Path, facts: Facts, kind: str) -> None:
    name = order.output.absolute().name
    if kind == "hf":
        what = "A causal language model in Hugging Face's form."
        usage = f'AutoModelForCausalLM.from_pretrained("{name}")\nvllm serve {name}'
        size = export_folder(checkpoint, order.output, model_card(name, what, facts, usage))
    else:
        what = "A low-rank adapter in PEFT's form, for the model that its training began with."
        usage = f'PeftModel.from_pretrained(base, "{name}")'
        size = export_adapter(checkpoint, order.output, model_card(name, what, facts, usage))
    print(f"{order.output}: {size / 1e6:.2f} MB")


def _gguf(
    order: Order, checkpoint: Path, facts: Facts, kind: LinearType, embeddings: str
) -> tuple[ExportReport, list[CardTable]]:
    tasks = held_out(order.checkpoint, order.tasks)
    sources = [task.solved for task in tasks[:SOURCES]]
    reference: Reference | None = None
    embedding: Any = EMBEDDINGS.get(embeddings)
    if embedding is None and kind in ("F32", "F16", "BF16"):
        embedding = "F32" if kind == "F32" else "F16"
    try:
        if kind in TERNARY_TYPES and not order.force:
            require_ternary(checkpoint, kind)
        if embedding is None or order.verify:
            reference = Reference(checkpoint)
            embedding = embedding or embedding_type(reference, sources)
        if not order.verify:
            report = export_gguf(checkpoint, order.output, kind, embedding, facts=facts, force=order.force)
            if order.force:
                print(f"forced to {kind}: {_damage(reference or Reference(checkpoint), sources)}")
            return report, []
        assert reference is not None
        from services.export_verify import Verification

        asked = tasks[: order.compile_tasks]
        checked = Verification(checkpoint, reference, sources, asked, facts, embedding, order.force)
        report, table = checked.run(kind, order.output)
        return report, [table]
    except NotTernary as error:
        raise ExportError(
            f"{order.checkpoint} was not trained ternary, and {kind} would destroy it: "
            f"{_damage(reference or Reference(checkpoint), sources)}. Export it with --type q8_0 (or q4_0, f16), or "
            "train it ternary. --force writes the file in spite of this."
        ) from error


def _damage(reference: Reference, sources: Sequence[str]) -> str:
    return str(reference.ternary_damage(reference.encode(sources)))

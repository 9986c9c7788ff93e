"""Writes the RL checkpoint as GGUF and proves in llama.cpp that it computes what torch computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.config import RunConfig
from services.events import Reporter
from services.export import linear_type, run_facts, said
from services.run_folder import RunFolder, write_text
from trainer.export.card import CardTable, model_card
from trainer.export.errors import ExportError
from trainer.export.facts import Facts, read_facts
from trainer.export.packing import EmbeddingType, LinearType
from trainer.export.parity import ParityReport, check_parity
from trainer.export.reference import Reference
from trainer.export.writer import ExportReport, export_gguf
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split

PROMPTS = 20
"""Real sources that are continued by both runtimes; so many settle the question in seconds."""


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:  # noqa: ARG001
    """`model.gguf` in ternary blocks (Q8_0 if the model is not ternary), and an F16 file beside it to compare with."""
    checkpoint = run.made("rl")
    sources = [task.solved for task in TaskBank.load(run.tasks).sample(Split.UNSEEN_TASKS, PROMPTS)]
    facts = read_facts(checkpoint, more=run_facts(checkpoint))
    reference = Reference(checkpoint)
    served = linear_type(checkpoint)
    costs = reference.embedding_costs(reference.encode(sources))
    reporter.note(f"embedding {costs[-1].kind}, by nats a token: {'; '.join(map(str, costs))}")

    def written(path: Path, kind: LinearType, embedding: EmbeddingType) -> tuple[ExportReport, ParityReport]:
        report = export_gguf(checkpoint, path, kind, embedding, facts=facts)
        return report, _checked(reference, report, sources, reporter)

    whole = written(run.gguf.with_name("model-f16.gguf"), "F16", "F16")
    packed = written(run.gguf, served, costs[-1].kind)
    write_text(run.gguf.with_suffix(".md"), _card(checkpoint, facts, (whole, packed)))
    return {
        "model": run.inside(run.gguf),
        "type": served,
        "embedding": costs[-1].kind,
        "megabytes": packed[0].bytes / 1e6,
        "argmax_agreement": packed[1].argmax_agreement,
        "held_out_loss": packed[1].loss,
        "torch_held_out_loss": packed[1].torch_loss,
        "f16_megabytes": whole[0].bytes / 1e6,
        "f16_greedy_equal": whole[1].greedy_equal,
        "prompts": whole[1].prompts,
    }


def _checked(reference: Reference, report: ExportReport, sources: Sequence[str], reporter: Reporter) -> ParityReport:
    """Lay the file beside torch.

    Raises:
        ExportError: llama.cpp computes something else from it than torch from the checkpoint.
    """
    parity = check_parity(reference, report.path, reference.encode(sources), sources)
    reporter.note(
        f"{said(report, report.path)}; argmax agreement {parity.argmax_agreement:.3f}, "
        f"greedy equal on {parity.greedy_equal} of {parity.prompts} prompts"
    )
    if parity.fault:
        raise ExportError(
            f"{report.path} does not compute what its checkpoint computes ({parity.fault}). It must not be served."
        )
    return parity


def _card(checkpoint: Path, facts: Facts, made: Sequence[tuple[ExportReport, ParityReport]]) -> str:
    rows = [
        (
            report.path.name, report.linear_type, report.embedding_type, f"{report.bytes / 1e6:.2f}",
            f"{parity.greedy_equal} of {parity.prompts}", f"{parity.argmax_agreement:.1%}", f"{parity.loss:.4f}",
        )
        for report, parity in made
    ]  # fmt: skip
    head = ("file", "type", "embedding", "MB", "greedy as torch", "likeliest as torch", "held-out loss")
    note = f"torch's held-out loss on the same tokens is {made[0][1].torch_loss:.4f} nats a token."
    name = f"{checkpoint.parent.name}-{checkpoint.name}"
    usage = "ferrotype serve --model model.gguf\nllama-server -m model.gguf"
    what = "A language model for Rust, trained with the compiler as the teacher; GGUF files for llama.cpp."
    return model_card(name, what, facts, usage, [CardTable("Files beside torch", head, rows, note)])

"""`ferrotype export --verify`: every type that fits a model, written, read by llama.cpp, and laid beside torch.

type ─► temporary file ─► parity with torch, held-out loss ─► greedy answers ─► rustc ─► a row of the table

Keeps only the file that was asked for, and only if it computes what the checkpoint computes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from reward_farm.settings import FarmSettings
from services.errors import UserError
from services.evaluate_bank import Bench, evaluate_model
from services.models.gguf import gguf_model
from trainer.checkpoint import read_manifest
from trainer.evaluation.form import Wanted
from trainer.evaluation.sample import Mode
from trainer.evaluation.settings import EvaluationSettings
from trainer.export.card import CardTable
from trainer.export.errors import ExportError
from trainer.export.facts import Facts
from trainer.export.packing import TERNARY_TYPES, EmbeddingType, LinearType
from trainer.export.parity import ParityReport, check_parity
from trainer.export.reference import Reference
from trainer.export.writer import ExportReport, export_gguf
from trainer.tasks.task import Task

TERNARY_MODEL: tuple[LinearType, ...] = ("F16", "Q8_0", "TQ2_0", "TQ1_0")
FLOAT_MODEL: tuple[LinearType, ...] = ("F16", "Q8_0", "Q4_0")
"""What is compared. F16 is the yardstick: its greedy tokens are torch's, so its compile rate is the checkpoint's."""

POSITIONS = 48
"""Of each source, at its end, that are read token by token: a function's body."""

HEAD = ("type", "embedding", "MB", "of F16", "greedy as torch", "likeliest as torch", "log-prob gap", "held-out loss")


class NotTheSameModel(UserError):
    """An exported file computes something else than its checkpoint."""


@dataclass(frozen=True, slots=True)
class Row:
    """One type, measured. `compiled` of `asked` greedy answers to held-out tasks compile."""

    report: ExportReport
    parity: ParityReport
    compiled: int
    asked: int

    def cells(self, f16_bytes: int) -> list[str]:
        """As the table shows them."""
        report, parity = self.report, self.parity
        cells = [
            report.linear_type, report.embedding_type, f"{report.bytes / 1e6:.2f}", f"{report.bytes / f16_bytes:.2f}",
            f"{parity.greedy_equal} of {parity.prompts}", f"{parity.argmax_agreement:.1%}",
            f"{parity.gap_mean:.4f}, at most {parity.gap_max:.3f}", f"{parity.loss:.4f}",
        ]  # fmt: skip
        return [*cells, f"{self.compiled} of {self.asked}"] if self.asked else cells


@dataclass(frozen=True, slots=True)
class Verification:
    """What is verified, and on what."""

    checkpoint: Path
    reference: Reference
    documents: Sequence[str]
    """Held-out sources."""
    tasks: Sequence[Task]
    """Answered greedily by each type; none leaves the compile rate out."""
    facts: Facts
    embedding: EmbeddingType
    force: bool

    def run(self, wanted: LinearType, output: Path) -> tuple[ExportReport, CardTable]:
        """Write and measure all types, keep `wanted` as `output`, and return what was kept and the table.

        Raises:
            NotTheSameModel: the wanted file computes something else; nothing is kept.
        """
        others = TERNARY_MODEL if wanted in TERNARY_TYPES and not self.force else FLOAT_MODEL
        kinds = dict.fromkeys((*others, wanted))
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            beside = TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent)
        except OSError as error:
            raise ExportError(f"{output} could not be written: {error.strerror}. Give another path.") from error
        with beside as place:
            rows: list[Row] = []
            for kind in kinds:
                path = Path(place) / f"{kind}.gguf"
                rows.append(self._measured(kind, path))
                if kind != wanted:
                    path.unlink()
            table = _table(rows)
            _show(table)
            [row] = [row for row in rows if row.report.linear_type == wanted]
            fault = row.parity.fault
            if fault and not self.force:
                raise NotTheSameModel(
                    f"{output} was not written: as {wanted} it does not compute what {self.checkpoint} computes "
                    f"({fault}). Take another --type; if F16 fails as well, report the model."
                )
            row.report.path.replace(output)
        return row.report, table

    def _measured(self, kind: LinearType, path: Path) -> Row:
        embedding: EmbeddingType = "F16" if kind == "F16" else self.embedding
        report = export_gguf(
            self.checkpoint, path, kind, embedding, facts=self.facts, force=self.force and kind in TERNARY_TYPES
        )
        parity = check_parity(
            self.reference, path, self.reference.encode(self.documents), self.documents, positions=POSITIONS
        )
        # Models of ours go on with code; one from elsewhere is asked in the form that its tokenizer knows.
        form: Wanted = "base" if read_manifest(self.checkpoint) else "auto"
        compiled, asked = _compiled(path, self.tasks, form) if self.tasks else (0, 0)
        return Row(report, parity, compiled, asked)


def _compiled(path: Path, tasks: Sequence[Task], form: Wanted) -> tuple[int, int]:
    """How many of the likeliest answers compile, and how many were judged."""
    settings = EvaluationSettings(samples_per_task=0, ks=(1,), extract=True)
    farm = FarmSettings().model_copy(update={"workers": max(1, len(os.sched_getaffinity(0)) - 1)})
    with TemporaryDirectory(prefix="ferrotype-verify-") as place:
        model = gguf_model(path, form, settings.max_tokens, threads=1)
        evaluation = evaluate_model(model, Bench(tuple(tasks), settings, farm, Path(place), None))
    counts = [
        (round((group.figures["compile_rate"].value or 0.0) * (group.samples - group.faults)), group.samples)
        for group in evaluation.groups
        if group.family is None and group.mode is Mode.GREEDY
    ]
    return sum(compiled for compiled, _ in counts), sum(asked for _, asked in counts)


def _table(rows: Sequence[Row]) -> CardTable:
    f16_bytes = next(row.report.bytes for row in rows if row.report.linear_type == "F16")
    head = (*HEAD, "compiles") if rows[0].asked else HEAD
    first = rows[0].parity
    note = (
        f"torch's held-out loss is {first.torch_loss:.4f} nats a token on the same {first.positions} tokens of "
        f"{first.prompts} sources. The gap is between log-probabilities of the tokens that llama.cpp finds likeliest."
    )
    return CardTable("Types beside torch", head, [row.cells(f16_bytes) for row in rows], note)


def _show(card: CardTable) -> None:
    table = Table(*card.head)
    for row in card.rows:
        table.add_row(*row)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(card.note)

"""Writes the RL checkpoint as GGUF and proves in llama.cpp that it computes what torch computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from services.config import RunConfig
from services.events import Reporter
from services.run_folder import RunFolder
from trainer.export.errors import ExportError
from trainer.export.parity import ParityReport, check_parity
from trainer.export.writer import ExportReport, LinearType, export_gguf
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split, Task

PROMPTS = 20
"""Real sources that are continued by both runtimes; so many settle the question in seconds."""


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:  # noqa: ARG001
    """`model.gguf` in ternary blocks (Q8_0 if the model is not ternary), and an F16 file beside it to compare with."""
    checkpoint = run.made("rl")
    tasks = TaskBank.load(run.tasks).sample(Split.UNSEEN_TASKS, PROMPTS)
    served: LinearType = "TQ2_0" if _is_ternary(checkpoint) else "Q8_0"
    whole = _export(checkpoint, run.gguf.with_name("model-f16.gguf"), "F16", tasks, reporter)
    packed = _export(checkpoint, run.gguf, served, tasks, reporter)
    return {
        "model": run.inside(run.gguf),
        "type": served,
        "megabytes": packed[0].bytes / 1e6,
        "argmax_agreement": packed[1].argmax_agreement,
        "f16_megabytes": whole[0].bytes / 1e6,
        "f16_greedy_equal": whole[1].greedy_equal,
        "prompts": whole[1].prompts,
    }


def _is_ternary(checkpoint: Path) -> bool:
    config = json.loads((checkpoint / "config.json").read_text())
    return bool((config.get("ferrotype") or {}).get("ternary"))


def _export(
    checkpoint: Path, path: Path, kind: LinearType, tasks: Sequence[Task], reporter: Reporter
) -> tuple[ExportReport, ParityReport]:
    """Write one file and check it.

    Raises:
        ExportError: llama.cpp computes something else from it than torch from the checkpoint.
    """
    report = export_gguf(checkpoint, path, linear_type=kind, embedding_type="F16" if kind == "F16" else "Q8_0")
    sources = [task.prompt + task.reference for task in tasks]
    parity = check_parity(checkpoint, path, prompts(checkpoint, sources), sources)
    reporter.note(
        f"{path.name}: {report.bytes / 1e6:.2f} MB, argmax agreement {parity.argmax_agreement:.3f}, "
        f"greedy equal on {parity.greedy_equal} of {parity.prompts} prompts"
    )
    if not parity.ok:
        raise ExportError(f"{path} does not compute what {checkpoint} computes: {parity}. It must not be served.")
    return report, parity


def prompts(checkpoint: Path, sources: list[str]) -> list[list[int]]:
    """Token ids of real sources, for a parity check."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    return [list(tokenizer.encode(source).ids) for source in sources]

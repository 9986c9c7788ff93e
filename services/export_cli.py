"""`ferrotype export`. Imports nothing heavy before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint's folder, any HF Llama's, or a PEFT adapter's.")],
    output: Annotated[Path, typer.Option(help="The file to write; with --type hf or lora, the folder.")],
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            help="auto (ternary for a model trained so, else q8_0), ternary (= tq2_0), tq1_0 (smallest), q8_0, q4_0, "
            "bf16, f16, f32: GGUF. hf: a folder for transformers and vLLM. lora: the adapter alone.",
        ),
    ] = "auto",
    embeddings: Annotated[str, typer.Option(help="auto measures what each costs; q4_0, q8_0, f16, f32.")] = "auto",
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="Of the model, such as apache-2.0; else its card's.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Lay all types beside torch, in a table.")] = False,
    tasks: Annotated[Path | None, typer.Option(help="A bank of held-out tasks; else the run's, or made ones.")] = None,
    compile_tasks: Annotated[
        int, typer.Option(min=0, help="Answered by each type under --verify, and compiled; 0 needs no rustc.")
    ] = 32,
    card: Annotated[Path | None, typer.Option(help="Also write a model card here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Ternary even for a model that it destroys.")] = False,
) -> None:
    """Write a checkpoint as a GGUF file for llama.cpp, or as a Hugging Face folder."""
    from services.export import Order
    from services.export import export as carry_out

    carry_out(Order(checkpoint, output, kind, embeddings, licence, tasks, card, compile_tasks, verify, force))

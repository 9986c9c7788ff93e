"""`ferrotype tasks`: what is trained and measured on. Imports nothing heavy before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

tasks_app = typer.Typer(help="Banks of Rust tasks.", no_args_is_help=True)


@tasks_app.command("build")
def tasks_build(
    output: Annotated[Path, typer.Option(help="The file to write, JSON lines.")],
    seed: Annotated[int, typer.Option(help="Another seed draws other tasks; what is held out stays held out.")] = 0,
    per_family: Annotated[int, typer.Option(min=1, help="Training tasks of each family.")] = 100,
    unseen: Annotated[int, typer.Option(min=1, help="New tasks of each trained family, kept from training.")] = 30,
    held_out: Annotated[int, typer.Option(min=1, help="Tasks of each validation and held-out family.")] = 60,
    max_difficulty: Annotated[float, typer.Option(min=0, max=1, help="Of families to train on.")] = 1.0,
    form: Annotated[list[str] | None, typer.Option(help="Also as instruct, fim or repair. May be repeated.")] = None,
) -> None:
    """Draw a bank of tasks. A family that has fewer gives what it has."""
    from services.tasks_build import build

    build(output, seed, per_family, unseen, held_out, max_difficulty, form or ())


@tasks_app.command("list")
def tasks_list(
    bank: Annotated[Path | None, typer.Argument(help="A bank; else the families that one is drawn from.")] = None,
    tag: Annotated[str | None, typer.Option(help="Families with this tag alone.")] = None,
) -> None:
    """Show families: their split, tasks, difficulty and tags."""
    from services.tasks_table import show_families

    show_families(bank, tag)


@tasks_app.command("show")
def tasks_show(
    bank: Annotated[Path, typer.Argument(help="A bank, such as RUN/data/tasks.jsonl.")],
    count: Annotated[int, typer.Option(min=1)] = 3,
    family: Annotated[str | None, typer.Option(help="Of this family alone.")] = None,
    task: Annotated[str | None, typer.Option("--id", help="This task alone.")] = None,
) -> None:
    """Print tasks with their reference solutions and hidden cases."""
    from services.tasks_table import show_tasks

    show_tasks(bank, count, family, task)


@tasks_app.command("verify")
def tasks_verify(
    bank: Annotated[Path, typer.Argument(help="A bank, such as RUN/data/tasks.jsonl.")],
    mutants: Annotated[int, typer.Option(min=0, help="Wrong answers made of each reference; they must fail.")] = 2,
    sample: Annotated[int | None, typer.Option(min=1, help="So many tasks, evenly of all families; else all.")] = None,
) -> None:
    """Judge every reference solution and mutants of it. Exits with 1 if a reference fails or too many mutants pass."""
    from services.tasks_verify import verify_bank

    raise typer.Exit(0 if verify_bank(bank, mutants, sample) else 1)


@tasks_app.command("import")
def tasks_import(
    file: Annotated[Path, typer.Argument(help="JSON lines.")],
    output: Annotated[Path, typer.Option(help="The bank to write.")],
    form: Annotated[str, typer.Option(help="auto, ferrotype, multipl-e, humaneval-x or humanevalpack.")] = "auto",
) -> None:
    """Make a bank of tasks that Ferrotype did not make: a benchmark, or your own."""
    from collections import Counter

    from trainer.benchmarks.load import import_tasks

    bank = import_tasks(file, form)
    bank.save(output)
    known = sum(bool(task.solved) for task in bank.all)
    families = ", ".join(f"{count} {family}" for family, count in Counter(task.family for task in bank.all).items())
    print(f"{output}: {families}; {known} with a known answer. `ferrotype eval verify {output}` proves them.")


@tasks_app.command("mine")
def tasks_mine(
    folder: Annotated[Path, typer.Argument(help="A crate's folder, or one of many.")],
    output: Annotated[Path, typer.Option(help="The bank to write.")],
) -> None:
    """Make tasks of the doc-tested functions of a crate; each is proved before it is kept."""
    from services.tasks_mine import mine_folder

    mine_folder(folder, output)

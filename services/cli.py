"""The command line: what an operator types, and the one place where an error becomes a message and an exit code.

Imports nothing heavy: each command brings in what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from services.config import RunConfig, resolve
from services.console import Operator, duration
from services.errors import Interrupted, explain
from services.run_folder import RunFolder


class _Boundary(TyperGroup):
    """Turns whatever a command raises into one message and a non-zero exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            fault = f"a fault in the program: {type(error).__name__}: {error} (ferrotype --debug shows where)"
            print(f"error: {explain(error) or fault}", file=sys.stderr)
            raise typer.Exit(130 if isinstance(error, Interrupted) else 1) from None


app = typer.Typer(
    cls=_Boundary,
    help="Trains language models to write Rust, with the Rust compiler as the teacher, and serves them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tasks_app = typer.Typer(help="The bank of Rust tasks.", no_args_is_help=True)
app.add_typer(tasks_app, name="tasks")

Preset = Annotated[str | None, typer.Option(help="embedded, production, finetune, cluster or ci.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file over the preset.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over the file. May be repeated.")]
RunDir = Annotated[Path | None, typer.Option(help="The run's folder.")]
CheckpointDir = Annotated[Path, typer.Option(help="A checkpoint folder, such as .../production-rl/rl-iter-40.")]


@app.callback()
def _options(debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False) -> None:
    """Options before the command."""


def main() -> None:
    """The entry point of `ferrotype` and of `python -m services`."""
    app(prog_name="ferrotype")


@app.command()
def run(preset: Preset = None, run_dir: RunDir = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Run the pipeline from where it stands: corpus, pre-training, GRPO, evaluation, GGUF, report."""
    from services.doctor import examine, require
    from services.pipeline import PHASES, run_phases
    from services.result import closing_lines

    settings, folder = _configuration(preset, run_dir, config, sets)
    with folder.held():
        folder.adopt(settings)
        operator = Operator(folder.logs / f"production_training_{time.strftime('%Y%m%d_%H%M%S')}.log")
        try:
            operator.say(f"run {folder.root}, log {operator.log}")
            if not all(folder.finished(phase.name) for phase in PHASES):
                require(examine(settings, folder.root))
            started = time.monotonic()
            results = run_phases(folder, operator)
            operator.say(f"all phases done; this start took {duration(time.monotonic() - started)}")
            for line in closing_lines(folder, results):
                operator.say(line)
        except Exception as error:
            operator.record(f"error: {explain(error) or traceback.format_exc()}")
            raise
        finally:
            operator.close()


@app.command()
def doctor(preset: Preset = None, run_dir: RunDir = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Show what this machine has and lacks for a run. Exits with 1 if a run could not work."""
    from services.doctor import Health, examine

    settings, folder = _configuration(preset, run_dir, config, sets)
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    checks = examine(settings, folder.root)
    for check in checks:
        table.add_row(check.health.value, check.name, check.found, check.remedy)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
    if any(check.health is Health.MISSING for check in checks):
        raise typer.Exit(1)


def _configuration(
    preset: str | None, run_dir: Path | None, config: Path | None, sets: list[str] | None
) -> tuple[RunConfig, RunFolder]:
    """What to run and where. A folder that is a run already is gone on with as it was made, if nothing else is said."""
    if run_dir is not None and preset is None and (run_dir / "config.toml").exists():
        return resolve(run_dir / "config.toml", config, sets or (), os.environ), RunFolder(run_dir)
    name = preset or default_preset()
    return resolve(name, config, sets or (), os.environ), RunFolder(run_dir or Path("runs") / name)


def default_preset() -> str:
    """`production` where there is an NVIDIA GPU, else `embedded`."""
    from services.doctor import gpu_names

    return "production" if gpu_names() else "embedded"

"""The command line: what an operator types, and the one place where an error becomes a message and an exit code.

Imports nothing heavy: each command brings in what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from services.compare_cli import compare
from services.config import RunConfig, layers_of
from services.console import Operator, duration
from services.environment import prepare
from services.errors import Interrupted, explain
from services.eval_cli import eval_app
from services.export_cli import export
from services.jobs_cli import jobs_app, submit
from services.layers import Layer, validate
from services.run_folder import RunFolder
from services.tasks_cli import tasks_app

app = typer.Typer(
    help="Trains language models to write Rust, with the Rust compiler as the teacher, and serves them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(tasks_app, name="tasks")
app.command()(compare)
app.command()(export)
app.add_typer(eval_app, name="eval")
app.command()(submit)
app.add_typer(jobs_app, name="jobs")

Preset = Annotated[str | None, typer.Option(help="embedded, production, finetune, cluster or ci.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file over the preset.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over the file. May be repeated.")]
RunDir = Annotated[Path | None, typer.Option(help="The run's folder.")]
CheckpointDir = Annotated[Path, typer.Option(help="A checkpoint folder, such as .../production-rl/rl-iter-40.")]


CLIENTS = ("submit", "jobs")
"""Commands that talk to a cluster which is there already."""

_debug = ContextVar("debug", default=False)


@app.callback()
def _options(
    context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False
) -> None:
    """Options before the command."""
    _debug.set(debug)
    prepare(client=context.invoked_subcommand in CLIENTS)


def main() -> None:
    """The entry point of `ferrotype` and of `python -m services`: errors become one message and an exit code."""
    try:
        app(prog_name="ferrotype")
    except Exception as error:
        if _debug.get():
            traceback.print_exc()
        fault = f"a fault in the program: {type(error).__name__}: {error} (ferrotype --debug COMMAND shows where)"
        print(f"error: {explain(error) or fault}", file=sys.stderr)
        sys.exit(130 if isinstance(error, Interrupted) else 1)


@app.command()
def run(
    preset: Preset = None,
    run_dir: RunDir = None,
    config: ConfigFile = None,
    sets: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")] = False,
) -> None:
    """Run the pipeline from where it stands: corpus, pre-training, GRPO, evaluation, GGUF, report."""
    from services.doctor import examine, require
    from services.pipeline import PHASES, run_phases
    from services.publisher import stored
    from services.report.report import write_report
    from services.result import closing_lines

    settings, folder = _configuration(preset, run_dir, config, sets)
    if dry_run:
        from services.dry_run import rehearse

        raise typer.Exit(0 if rehearse(folder, _layers(preset, run_dir, config, sets)) else 1)
    with folder.held(), _operator(folder) as operator, stored(settings.cluster.storage, folder, operator.say):
        folder.adopt(settings)
        if not all(folder.finished(phase.name) for phase in PHASES):
            require(examine(settings, folder.root))
        started = time.monotonic()
        try:
            results = run_phases(folder, operator)
        except Interrupted:
            operator.say(f"report so far: {write_report(folder.root)}")
            raise
        operator.say(f"all phases done; this start took {duration(time.monotonic() - started)}")
        for line in closing_lines(folder, results):
            operator.say(line)


@app.command()
def control(run_dir: Annotated[Path, typer.Option(help="A finished run's folder.")]) -> None:
    """Train the supervised model on for as long as RL took, measure it, and put it beside RL in the report."""
    from services.pipeline import CONTROL_PHASES, run_phases
    from services.report.report import write_report

    folder = RunFolder(run_dir)
    folder.config()
    with folder.held(), _operator(folder) as operator:
        run_phases(folder, operator, CONTROL_PHASES)
        operator.say(f"report: {write_report(folder.root)}")


@app.command()
def doctor(
    preset: Preset = None,
    run_dir: RunDir = None,
    config: ConfigFile = None,
    sets: Sets = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended without harm.")] = False,
) -> None:
    """Show what this machine has and lacks for a run. Exits with 1 if a run could not work."""
    from services.doctor import Health, examine
    from services.doctor.table import show

    settings, folder = _configuration(preset, run_dir, config, sets)
    checks = examine(settings, folder.root)
    show(checks)
    for check in checks if fix else ():
        if check.fix is not None:
            print(f"{check.name}: {check.fix()}")
    if any(check.health is Health.MISSING for check in checks):
        raise typer.Exit(1)


@app.command()
def generate(
    checkpoint: CheckpointDir,
    prompt: Annotated[str, typer.Option(help="Rust to go on with, such as 'fn add(a: i32, b: i32) -> i32 {'.")],
    chat: Annotated[bool, typer.Option("--chat", help="The prompt is an instruction in words.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1)] = 160,
    temperature: Annotated[float, typer.Option(min=0.0)] = 0.0,
    seed: int = 0,
) -> None:
    """Let a checkpoint write code."""
    config = RunFolder.of(checkpoint).config()
    from services.generate import generate

    answer = generate(checkpoint, prompt, config, chat=chat, max_tokens=max_tokens, temperature=temperature, seed=seed)
    print(answer if chat else prompt + answer)


@app.command()
def serve(
    model: Annotated[
        list[str],
        typer.Option(help="A GGUF file or Hugging Face folder, or NAME=PATH; several times, the first is the default."),
    ],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="127.0.0.1 answers this machine alone, 0.0.0.0 everyone.")] = "127.0.0.1",
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    max_replicas: Annotated[int | None, typer.Option(min=1, help="Start more under load, up to so many.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of each replica; no more than there are free cores.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="Of each replica, for models in folders.")] = 0,
    context_length: Annotated[
        int | None, typer.Option(min=16, help="Tokens of prompt and answer; else the model's.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, max=64, help="Answers that a replica writes at once.")] = 4,
    max_queue: Annotated[int, typer.Option(min=0, help="Requests that wait for a slot; others get 429.")] = 32,
    keys: Annotated[Path | None, typer.Option(help="A file of API keys, as `ferrotype key` makes its lines.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Offer answers that the compiler has checked.")] = False,
    clippy: Annotated[bool, typer.Option("--clippy", help="Lint them as well.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Compilers, one a core, with --verify.")] = 1,
    cors: Annotated[list[str], typer.Option(help="A web page's origin that may ask, * for all.")] = [],  # noqa: B006
    playground: Annotated[bool, typer.Option(help="A page at / to try the models on.")] = True,
) -> None:
    """Serve models over OpenAI's API, until Ctrl-C. One whose file is replaced is loaded anew."""
    from reward_farm.settings import FarmSettings
    from serve.command import settings_of
    from serve.run import run

    run(
        settings_of(
            model, keys, port=port, host=host, replicas=replicas, max_replicas=max_replicas, threads=threads,
            slots=slots, gpus_per_replica=gpus, context_length=context_length, max_queue=max_queue,
            cors_origins=tuple(cors), playground=playground,
            farm=FarmSettings(workers=workers, clippy=clippy, max_queue=512) if verify or clippy else None,
        )
    )  # fmt: skip


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    per_minute: Annotated[int | None, typer.Option(min=1, help="Requests a minute; else without bound.")] = None,
) -> None:
    """Make an API key: the key for the client, and the line with its hash for the server's file of keys."""
    from serve.keys import new_key

    secret, line = new_key(name, per_minute)
    print(line)
    typer.echo(f"The key, which is nowhere kept: {secret}", err=True)


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="A Rust file; - reads standard input.")],
    entry: Annotated[str, typer.Option(help="The function that it must define; none has to be there otherwise.")] = "",
    problem: Annotated[Path | None, typer.Option(help="A problem's JSON file: its hidden cases are asked too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The verdict as JSON.")] = False,
    clippy: Annotated[bool, typer.Option("--clippy", help="Lint as well.")] = False,
) -> None:
    """Judge a Rust file as the farm judges completions. Exits with 0 if it passes, 1 if not, 2 if it was not judged."""
    from services.check import check

    raise typer.Exit(check(file, entry, problem, as_json=as_json, clippy=clippy))


@app.command()
def judge(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8090,
    host: Annotated[str, typer.Option(help="127.0.0.1 answers this machine alone, 0.0.0.0 everyone.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, help="Judges, one a core.")] = 1,
    clippy: Annotated[bool, typer.Option("--clippy", help="Lint as well.")] = False,
) -> None:
    """Serve the reward farm over HTTP (POST /v1/rust/check and /v1/rewards), until Ctrl-C."""
    from serve.judge_run import run
    from serve.settings import JudgeSettings

    farm = JudgeSettings().farm.model_copy(update={"workers": workers, "clippy": clippy})
    run(JudgeSettings(port=port, host=host, farm=farm))


@app.command()
def report(run_dir: Annotated[Path, typer.Option(help="The run's folder.")]) -> None:
    """Write a run's report anew."""
    from services.report.report import write_report

    print(write_report(run_dir))


@app.command()
def trace(
    run_dir: Annotated[Path, typer.Argument(help="The run's folder, such as runs/embedded.")],
    iteration: Annotated[int | None, typer.Option(help="Of RL; else the newest.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Such as compile_error or passed.")] = None,
    code: Annotated[str | None, typer.Option(help="Of a diagnostic, such as E0308.")] = None,
    family: Annotated[str | None, typer.Option(help="Of tasks.")] = None,
    task: Annotated[str | None, typer.Option(help="One task's id.")] = None,
    order: Annotated[str, typer.Option(help="sampled, worst or best.")] = "sampled",
    count: Annotated[int, typer.Option(min=1, help="The most to show.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, whole.")] = False,
) -> None:
    """Show what the model wrote in an iteration of RL, and what the farm said of it."""
    from services.trace import Order, Wanted, show_trace

    if order not in tuple(Order):
        raise typer.BadParameter(f"one of {', '.join(Order)}", param_hint="--order")
    wanted = Wanted(outcome, code, family, task)
    show_trace(RunFolder(run_dir).traces / "rl", iteration, wanted, Order(order), count, as_json=as_json)


@contextmanager
def _operator(folder: RunFolder) -> Iterator[Operator]:
    """The terminal and a new log; what ends the block is the log's last line."""
    operator = Operator(folder.logs / f"production_training_{time.strftime('%Y%m%d_%H%M%S')}.log")
    try:
        operator.say(f"run {folder.root}, log {operator.log}")
        yield operator
    except Exception as error:
        operator.record(f"error: {explain(error) or traceback.format_exc()}")
        raise
    finally:
        operator.close()


def _configuration(
    preset: str | None, run_dir: Path | None, config: Path | None, sets: list[str] | None
) -> tuple[RunConfig, RunFolder]:
    """What to run and where. A folder that is a run already is gone on with as it was made, if nothing else is said."""
    settings = validate(RunConfig, _layers(preset, run_dir, config, sets))
    return settings, RunFolder(run_dir or Path("runs") / (preset or default_preset()))


def _layers(preset: str | None, run_dir: Path | None, config: Path | None, sets: list[str] | None) -> list[Layer]:
    made = run_dir / "config.toml" if run_dir is not None and preset is None else None
    base = made if made is not None and made.exists() else preset or default_preset()
    return layers_of(base, config, sets or (), os.environ)


def default_preset() -> str:
    """`production` where there is an NVIDIA GPU, else `embedded`."""
    from services.doctor import gpu_names

    return "production" if gpu_names() else "embedded"

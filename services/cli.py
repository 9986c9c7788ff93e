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

from services.config import RunConfig, resolve
from services.console import Operator, duration
from services.environment import prepare
from services.errors import Interrupted, explain
from services.run_folder import RunFolder

app = typer.Typer(
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


_debug = ContextVar("debug", default=False)


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    """Options before the command."""
    _debug.set(debug)


def main() -> None:
    """The entry point of `ferrotype` and of `python -m services`: errors become one message and an exit code."""
    prepare()
    try:
        app(prog_name="ferrotype")
    except Exception as error:
        if _debug.get():
            traceback.print_exc()
        fault = f"a fault in the program: {type(error).__name__}: {error} (ferrotype --debug COMMAND shows where)"
        print(f"error: {explain(error) or fault}", file=sys.stderr)
        sys.exit(130 if isinstance(error, Interrupted) else 1)


@app.command()
def run(preset: Preset = None, run_dir: RunDir = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Run the pipeline from where it stands: corpus, pre-training, GRPO, evaluation, GGUF, report."""
    from services.doctor import examine, require
    from services.pipeline import PHASES, run_phases
    from services.result import closing_lines

    settings, folder = _configuration(preset, run_dir, config, sets)
    with folder.held():
        folder.adopt(settings)
        with _operator(folder) as operator:
            if not all(folder.finished(phase.name) for phase in PHASES):
                require(examine(settings, folder.root))
            started = time.monotonic()
            results = run_phases(folder, operator)
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
def doctor(preset: Preset = None, run_dir: RunDir = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Show what this machine has and lacks for a run. Exits with 1 if a run could not work."""
    from services.doctor import Health, examine

    settings, folder = _configuration(preset, run_dir, config, sets)
    checks = examine(settings, folder.root)
    for check in checks:
        print(f"{check.health.value:<9}{check.name:<11}{check.found}{check.remedy and f'. {check.remedy}'}")
    if any(check.health is Health.MISSING for check in checks):
        raise typer.Exit(1)


@app.command("eval")
def evaluate(
    checkpoint: CheckpointDir,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; else evaluation/ in the run.")] = None,
    sets: Sets = None,
) -> None:
    """Measure a checkpoint of a run on the run's unseen tasks: parses, compiles, passes, with confidence intervals."""
    run = RunFolder.of(checkpoint)
    config = resolve(run.config_file, sets=sets or ())
    from services.evaluate import evaluate_one

    for line in evaluate_one(checkpoint, run, config, out or run.evaluation):
        print(line)


@app.command()
def export(
    checkpoint: CheckpointDir,
    output: Annotated[Path, typer.Option(help="The GGUF file to write.")],
    kind: Annotated[str, typer.Option("--type", help="TQ2_0, TQ1_0, Q8_0 or F16.")] = "TQ2_0",
) -> None:
    """Write a checkpoint as a GGUF file."""
    from typing import cast

    from trainer.export.writer import LinearType, export_gguf

    report = export_gguf(checkpoint, output, linear_type=cast(LinearType, kind))
    print(
        f"{report.path}: {report.bytes / 1e6:.2f} MB, {report.parameters / 1e6:.2f}M parameters, {report.linear_type}"
    )


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
    model: Annotated[Path, typer.Option(help="The GGUF file.")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="127.0.0.1 answers this machine alone, 0.0.0.0 everyone.")] = "127.0.0.1",
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Of each replica; no more than there are free cores.")] = 1,
) -> None:
    """Serve a GGUF file over OpenAI's API, until Ctrl-C."""
    from serve.run import run
    from serve.settings import ServeSettings

    run(ServeSettings(model=model, port=port, host=host, replicas=replicas, threads=threads))


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


@tasks_app.command("build")
def tasks_build(
    output: Annotated[Path, typer.Option(help="The file to write, JSON lines.")],
    seed: int = 0,
    per_family: Annotated[int, typer.Option(min=1, help="Training tasks of each family.")] = 48,
) -> None:
    """Draw a bank of tasks."""
    from trainer.tasks.bank import build_bank
    from trainer.tasks.task import Split

    bank = build_bank(seed, train_per_family=per_family)
    bank.save(output)
    print(f"{output}: {', '.join(f'{len(bank.tasks(split))} {split.value}' for split in Split)}")


@tasks_app.command("verify")
def tasks_verify(bank: Annotated[Path, typer.Option(help="A bank, such as RUN/data/tasks.jsonl.")]) -> None:
    """Judge every reference solution; exits with 1 if one fails."""
    from reward_farm.judge import Judge
    from reward_farm.settings import FarmSettings
    from trainer.tasks.bank import TaskBank
    from trainer.tasks.verify import verify

    with Judge(FarmSettings()) as judge:
        report = verify(TaskBank.load(bank).all, judge.judge)
    for failure in report.failures:
        print(f"{failure.task_id}: {failure.reason}")
    print(f"{report.judged - len(report.failures)} of {report.judged} references pass, reward {report.mean_reward:.1f}")
    if not report.ok:
        raise typer.Exit(1)


@tasks_app.command("show")
def tasks_show(
    bank: Annotated[Path, typer.Option(help="A bank, such as RUN/data/tasks.jsonl.")],
    count: Annotated[int, typer.Option(min=1)] = 3,
    family: Annotated[str | None, typer.Option(help="Of this family alone.")] = None,
) -> None:
    """Print tasks with their reference solutions and hidden cases."""
    from trainer.tasks.bank import TaskBank

    chosen = [task for task in TaskBank.load(bank).all if family in (None, task.family)]
    for task in chosen[:: max(1, len(chosen) // count)][:count]:
        print(f"// {task.id}  family {task.family}, {task.split.value}, {len(task.problem.cases)} hidden cases")
        print(f"// {task.instruction}\n{task.prompt}{task.reference}")
        for case in task.problem.cases[:3]:
            print(f"//   {task.problem.entry}{case.args} == {case.expected!r}")
        print()


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
    if run_dir is not None and preset is None and (run_dir / "config.toml").exists():
        return resolve(run_dir / "config.toml", config, sets or (), os.environ), RunFolder(run_dir)
    name = preset or default_preset()
    return resolve(name, config, sets or (), os.environ), RunFolder(run_dir or Path("runs") / name)


def default_preset() -> str:
    """`production` where there is an NVIDIA GPU, else `embedded`."""
    from services.doctor import gpu_names

    return "production" if gpu_names() else "embedded"

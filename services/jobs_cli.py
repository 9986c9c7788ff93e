"""`ferrotype submit` and `ferrotype jobs`: runs on a Ray cluster. Imports nothing heavy before a command runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from services.config import RunConfig, layers_of
from services.layers import validate

jobs_app = typer.Typer(help="Runs that were submitted to a Ray cluster.", no_args_is_help=True)

Address = Annotated[
    str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="Of the cluster's dashboard, as `ray start` prints it.")
]
JobId = Annotated[str, typer.Argument(help="As `ferrotype submit` and `ferrotype jobs list` print it.")]
LOCAL = "http://127.0.0.1:8265"


def submit(
    preset: Annotated[str, typer.Option(help="embedded, production, finetune, cluster or ci.")],
    run_dir: Annotated[Path, typer.Option(help="The run's folder on the cluster; one that is there is gone on with.")],
    address: Address = LOCAL,
    config: Annotated[Path | None, typer.Option(help="A TOML file of this machine, over the preset.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over the file.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave once the cluster has the job.")] = False,
) -> None:
    """Run the pipeline on a Ray cluster, and follow its log. Ctrl-C leaves; the job goes on."""
    from services.jobs import Jobs
    from services.submission import Submission

    settings = validate(RunConfig, layers_of(preset, config, sets or (), os.environ))
    jobs = Jobs(address)
    job = jobs.submit(Submission(preset, settings, run_dir))
    typer.echo(f"job {job} runs at {address}: ferrotype jobs follow|stop {job} --address {address}")
    if not detach:
        raise typer.Exit(jobs.follow(job))


@jobs_app.command("list")
def jobs_list(address: Address = LOCAL) -> None:
    """Show them: state, age and run folder."""
    from services.jobs import Jobs

    Jobs(address).show()


@jobs_app.command("follow")
def jobs_follow(job: JobId, address: Address = LOCAL) -> None:
    """Print a job's log until it ends. Exits with 0 if it succeeded."""
    from services.jobs import Jobs

    raise typer.Exit(Jobs(address).follow(job))


@jobs_app.command("stop")
def jobs_stop(job: JobId, address: Address = LOCAL) -> None:
    """Let a job finish its step and save it, then end. Submitted again with the same folder, the run goes on."""
    from services.jobs import Jobs

    Jobs(address).stop(job)

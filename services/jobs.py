"""A Ray cluster's jobs, over the HTTP API of its dashboard. Starts no cluster, and holds nothing between calls."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from ray.job_submission import JobStatus, JobSubmissionClient
from rich.console import Console
from rich.table import Table

from services.console import duration
from services.errors import ClusterError
from services.submission import Submission

POLL_SECONDS = 1.0
LOST_SECONDS = 60.0
"""How long a cluster may not answer before following gives up."""
COLOURS = {JobStatus.SUCCEEDED: "green", JobStatus.FAILED: "red", JobStatus.RUNNING: "cyan"}


class Jobs:
    """The jobs of one cluster.

    Raises:
        ClusterError: from every method, if the cluster doesn't answer, wants another token or doesn't know the job.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        with self._reached():
            self._client = JobSubmissionClient(address)

    def submit(self, submission: Submission) -> str:
        """Start a run; returns the job's id."""
        name = f"ferrotype-{submission.run_dir.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        with self._reached(), submission.runtime_env() as environment:
            return self._client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=name,
                runtime_env=environment,
                metadata=submission.metadata,
            )

    def follow(self, job: str) -> int:
        """Print the log until the job ends; returns the exit code for its end, 0 too if the reader leaves by Ctrl-C."""
        try:
            return asyncio.run(self._follow(job))
        except KeyboardInterrupt:
            print(
                f"\nleft; the job goes on. ferrotype jobs follow|stop {job} --address {self._address}", file=sys.stderr
            )
            return 0

    def stop(self, job: str) -> None:
        """Ask a job to end after its step, and wait until it has."""
        with self._reached():
            if self._client.get_job_status(job).is_terminal():
                print(f"{job} has ended already: {self._client.get_job_status(job)}")
                return
            self._client.stop_job(job)
        print(f"{job} finishes its step and saves it ...", flush=True)
        while True:
            with self._reached():
                status = self._client.get_job_status(job)
            if status.is_terminal():
                print(f"{job} {status.lower()}")
                return
            time.sleep(POLL_SECONDS)

    def show(self, console: Console | None = None) -> None:
        """A table of runs, newest first."""
        table = Table("job", "state", "started", "took", "run folder")
        with self._reached():
            jobs = [job for job in self._client.list_jobs() if "run_dir" in (job.metadata or {})]
        for job in sorted(jobs, key=lambda job: job.start_time or 0, reverse=True):
            begun = (job.start_time or 0) / 1000
            took = (job.end_time / 1000 if job.end_time else time.time()) - begun
            table.add_row(
                job.submission_id, f"[{COLOURS.get(job.status, 'yellow')}]{job.status.lower()}[/]",
                f"{datetime.fromtimestamp(begun):%Y-%m-%d %H:%M}", duration(took), job.metadata["run_dir"],
            )  # fmt: skip
        (console or Console()).print(table if jobs else f"no run was submitted to {self._address} yet")

    async def _follow(self, job: str) -> int:
        shown, heard = 0, time.monotonic()
        while True:
            with self._reached():
                status = self._client.get_job_status(job)
            try:
                # Each connection tells the log from its beginning.
                skip = shown
                async for text in self._client.tail_job_logs(job):
                    heard = time.monotonic()
                    print(text[skip:], end="", flush=True)
                    shown += max(len(text) - skip, 0)
                    skip = max(skip - len(text), 0)
            except (RuntimeError, OSError) as error:
                if time.monotonic() - heard > LOST_SECONDS:
                    raise ClusterError(f"{self._address} tells no more of {job}: {error}") from error
                await asyncio.sleep(POLL_SECONDS)
            if status.is_terminal():
                break
        with self._reached():
            info = self._client.get_job_info(job)
        if info.status == JobStatus.SUCCEEDED:
            return 0
        print(f"error: {job} {info.status.lower()}: {info.message}", file=sys.stderr)
        return 1

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, ValueError) as error:
            raise ClusterError(
                f"no Ray dashboard answers at {self._address} ({str(error).splitlines()[0]}). `ray start --head` and "
                "KubeRay print its address, such as http://HEAD:8265; through a port-forward it is http://127.0.0.1:8265."
            ) from error
        except RuntimeError as error:
            words = str(error)
            if "401" in words or "403" in words or "oken" in words:
                words = (
                    "the cluster wants its token: set RAY_AUTH_MODE=token and the RAY_AUTH_TOKEN it was started with"
                )
            raise ClusterError(f"{self._address}: {words.strip().splitlines()[0]}") from error

"""What our OpenAPI document allows is answered without a 5xx, whatever it is: schemathesis draws the requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
import uvicorn
from running_server import free_port

from serve.api import create_app
from serve.models import Models
from serve.settings import ServeSettings

EXAMPLES = 15
"""Requests of an endpoint."""


@pytest.fixture(scope="module")
def document(settings: ServeSettings) -> Iterator[schemathesis.BaseSchema]:
    """Of a server in this process, at a port: queues belong to the one loop that it has."""
    port = free_port()
    app = create_app(Models(settings), settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    server.should_exit = True
    thread.join(30)


def test_nothing_that_the_document_allows_breaks_the_server(document: schemathesis.BaseSchema) -> None:
    endpoints = 0
    for found in document.get_all_operations():
        endpoints += 1

        @hypothesis.given(case=found.ok().as_strategy())
        @hypothesis.settings(
            max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(timeout=60)
            said = (case.method, case.path, answer.status_code, answer.content[:300])
            assert answer.status_code < 500 or answer.headers.get("retry-after"), said
            if answer.status_code >= 400:
                assert answer.json()["error"]["message"], said

        holds()
    assert endpoints >= 11

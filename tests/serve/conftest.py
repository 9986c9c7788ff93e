"""A small model, really exported, and the API around it in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

# The tiny checkpoint is the exporter's; test folders are no packages.
sys.path.append(str(Path(__file__).parents[1] / "trainer" / "export"))

from tiny_llama import write_checkpoint

from serve.api import create_app
from serve.engine import LlamaCppEngine
from serve.model_file import read_model_file
from serve.settings import ServeSettings
from trainer.export.writer import export_gguf


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("served") / "step_2000")


@pytest.fixture(scope="session")
def model_path(checkpoint: Path) -> Path:
    return export_gguf(checkpoint, checkpoint.parent / "model.gguf").path


@pytest.fixture(scope="session")
def settings(model_path: Path) -> ServeSettings:
    return ServeSettings(model=model_path, name="tiny", slots=2, max_queue=2, max_body_bytes=64 * 1024)


@pytest.fixture(scope="session")
def engine(settings: ServeSettings) -> LlamaCppEngine:
    return LlamaCppEngine(read_model_file(settings.model), settings)


@pytest.fixture(scope="session")
def client(engine: LlamaCppEngine, settings: ServeSettings) -> Iterator[TestClient]:
    with TestClient(create_app(engine, settings), raise_server_exceptions=False) as client:
        yield client

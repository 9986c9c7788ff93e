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
from serve.engine import Engine
from serve.models import Models
from serve.settings import ServeSettings
from trainer.evaluation.form import FIM_MARKERS
from trainer.export.writer import export_gguf


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("served") / "step_2000", more_tokens=FIM_MARKERS[0])


@pytest.fixture(scope="session")
def model_path(checkpoint: Path) -> Path:
    return export_gguf(checkpoint, checkpoint.parent / "model.gguf").path


@pytest.fixture(scope="session")
def other_path(checkpoint: Path) -> Path:
    """A model that writes something else, and can't fill in the middle."""
    folder = write_checkpoint(checkpoint.parent / "step_2500", steps=8)
    return export_gguf(folder, checkpoint.parent / "other.gguf").path


@pytest.fixture(scope="session")
def settings(model_path: Path, other_path: Path) -> ServeSettings:
    return ServeSettings(
        model=model_path, name="tiny", models={"other": other_path}, slots=2, max_queue=2, max_body_bytes=64 * 1024
    )


@pytest.fixture(scope="session")
def models(settings: ServeSettings) -> Models:
    return Models(settings)


@pytest.fixture(scope="session")
def engine(models: Models) -> Engine:
    return models.get("tiny").engine


@pytest.fixture(scope="session")
def client(models: Models, settings: ServeSettings) -> Iterator[TestClient]:
    with TestClient(create_app(models, settings), raise_server_exceptions=False) as client:
        yield client

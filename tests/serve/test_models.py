"""Several models in one process: asked by name, and replaced on disk while they answer."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serve.api import create_app
from serve.engine import Sampling
from serve.errors import ServeError
from serve.models import Models
from serve.settings import ServeSettings


def test_models_answer_by_name(client: TestClient) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["tiny", "other"]
    assert client.get("/v1/models/other").json()["id"] == "other"
    body = {"prompt": "pub fn sum_even(", "max_tokens": 12, "temperature": 0}
    first, named, other = (
        client.post("/v1/completions", json={**body, **how}).json()
        for how in ({}, {"model": "tiny"}, {"model": "other"})
    )
    assert first["choices"] == named["choices"] != other["choices"]
    assert (first["model"], other["model"]) == ("tiny", "other")
    assert client.get("/ready").json() == {"status": "ready", "models": ["tiny", "other"]}


@pytest.fixture
def one(model_path: Path, tmp_path: Path) -> ServeSettings:
    shutil.copy(model_path, tmp_path / "model.gguf")
    return ServeSettings(model=tmp_path / "model.gguf", name="tiny", slots=2, watch_seconds=0.05)


def put(new: Path, settings: ServeSettings) -> None:
    """As an operator should: beside the file, then renamed over it."""
    beside = settings.model.with_suffix(".new")
    shutil.copy(new, beside)
    beside.replace(settings.model)


async def greedy(models: Models, tokens: int = 12) -> str:
    served = models.get(None)
    prompt = served.engine.tokenize("pub fn sum_even(")
    return "".join([d.text async for d in served.scheduler.complete(prompt, Sampling(tokens, temperature=0.0))])


def test_a_replaced_file_takes_over_and_what_is_being_written_is_ended(
    one: ServeSettings, model_path: Path, other_path: Path
) -> None:
    async def swaps() -> None:
        models = Models(one)
        before = await greedy(models)
        old = models.get(None)
        watch = asyncio.create_task(models.watch(0.05))
        long = Sampling(200, temperature=0.0, logit_bias={0: -100.0})
        answer = old.scheduler.complete(old.engine.tokenize("pub fn"), long)
        await anext(answer)
        put(other_path, one)
        others = 0
        while models.get(None) is old:
            assert await greedy(models, 4)
            others += 1
        assert others > 0, "requests were answered while the new model was loaded"
        assert await greedy(models) != before
        rest = [delta async for delta in answer]
        assert rest[-1].completion_tokens == 200, "the answer that had begun was written to its end"
        put(model_path, one)
        while models.get(None).created != int(one.model.stat().st_mtime) or await greedy(models) != before:
            await asyncio.sleep(0.02)
        watch.cancel()

    asyncio.run(asyncio.wait_for(swaps(), 30))


def test_a_bad_file_changes_nothing(one: ServeSettings, caplog: pytest.LogCaptureFixture) -> None:
    async def refuses() -> None:
        models = Models(one)
        before = models.get(None)
        broken = one.model.with_suffix(".new")
        broken.write_bytes(one.model.read_bytes()[:-5000])
        broken.replace(one.model)
        for _ in range(4):
            await models.refresh()
        assert models.get(None) is before and await greedy(models)

    asyncio.run(refuses())
    said = [record.getMessage() for record in caplog.records if "stays as it was" in record.getMessage()]
    assert len(said) == 1 and "damaged or cut off" in said[0]


def test_the_app_watches_its_files(one: ServeSettings, other_path: Path) -> None:
    body = {"prompt": "pub fn sum_even(", "max_tokens": 12, "temperature": 0}
    with TestClient(create_app(Models(one), one)) as client:
        texts = {client.post("/v1/completions", json=body).json()["choices"][0]["text"]}
        put(other_path, one)
        for _ in range(2000):
            texts.add(client.post("/v1/completions", json=body).json()["choices"][0]["text"])
            if len(texts) == 2:
                return
    raise AssertionError("the file was replaced, and the answers stayed the same")


def test_two_models_of_one_name_are_refused(model_path: Path, other_path: Path) -> None:
    from serve.model_file import read_model_file

    name = read_model_file(model_path).name
    with pytest.raises(ServeError, match="same id"):
        Models(ServeSettings(model=model_path, models={name: other_path}))
    with pytest.raises(ValueError, match="same id"):
        ServeSettings(model=model_path, name="a", models={"a": other_path})

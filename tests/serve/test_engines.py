"""The contract of an engine: one model, as a GGUF file in llama.cpp and as a folder in vLLM, beside torch."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from fastapi.testclient import TestClient
from tiny_llama import write_checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer

from serve.api import create_app
from serve.engine import Delta, Engine, Sampling
from serve.engines import read_model
from serve.errors import EngineError, ModelFileError
from serve.metrics import RUNNING
from serve.model_folder import FIM_MARKERS
from serve.models import Models, Served
from serve.settings import ServeSettings
from trainer.evaluation import form
from trainer.export.writer import export_gguf

TEXT = "pub fn sum_even("
GREEDY = Sampling(12, temperature=0.0)
LONG = Sampling(240, temperature=0.0, logit_bias={0: -100.0})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as torch holds them: packed ones would differ between the engines by llama.cpp's rounding."""
    return write_checkpoint(
        tmp_path_factory.mktemp("engines") / "step_1", ternary=False, steps=40, more_tokens=form.FIM_MARKERS[0]
    )


@dataclass(frozen=True)
class Loaded:
    settings: ServeSettings
    models: Models

    @property
    def served(self) -> Served:
        return self.models.get(None)

    @property
    def engine(self) -> Engine:
        return self.served.engine


@pytest.fixture(scope="module", params=["llama.cpp", pytest.param("vllm", marks=pytest.mark.slow)])
def loaded(request: pytest.FixtureRequest, folder: Path) -> Iterator[Loaded]:
    path = folder
    if request.param == "llama.cpp":
        path = export_gguf(folder, folder.parent / "plain.gguf", "F32", "F32").path
    settings = ServeSettings(model=path, name="tiny", slots=2, watch_seconds=0.05, prompt_cache_mb=16)
    yield Loaded(settings, Models(settings))


@pytest.fixture(scope="module")
def engine(loaded: Loaded) -> Engine:
    return loaded.engine


def deltas(engine: Engine, sampling: Sampling, ids: list[int] | None = None) -> list[Delta]:
    found: list[Delta] = []
    engine.generate(ids or engine.tokenize(TEXT), sampling, lambda delta: (found.append(delta), True)[1])
    return found


def text(engine: Engine, sampling: Sampling) -> str:
    return "".join(delta.text for delta in deltas(engine, sampling))


@pytest.fixture(scope="module")
def torch_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def test_greedy_text_is_torchs(engine: Engine, torch_model: Any, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer(TEXT, return_tensors="pt")
    expected = torch_model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt.input_ids.shape[1] :]
    found = deltas(engine, GREEDY)
    assert "".join(delta.text for delta in found) == tokenizer.decode(expected)
    assert (found[-1].finish_reason, found[-1].completion_tokens) == ("length", 12)
    assert found[-1].prompt_tokens == prompt.input_ids.shape[1]
    assert len(found) > 6, "it is streamed; pieces that were not fetched in time are one"
    assert all(delta.finish_reason is None for delta in found[:-1])


def test_logprobs_are_torchs(engine: Engine, torch_model: Any) -> None:
    tokens = [token for delta in deltas(engine, Sampling(12, temperature=0.0, logprobs=3)) for token in delta.logprobs]
    ids = engine.tokenize(TEXT)
    for token in tokens:
        with torch.inference_mode():
            logprobs = torch_model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        values, places = logprobs.topk(3)
        assert [top.token for top in token.top] == [engine.detokenize([place]) for place in places.tolist()]
        assert [top.logprob for top in token.top] == pytest.approx(values.tolist(), abs=1e-3, rel=1e-3)
        assert token.logprob == token.top[0].logprob and bytes(token.bytes).decode() == token.token
        ids.append(int(places[0]))
    assert len(tokens) == 12
    assert all(len(token.top) == 1 for delta in deltas(engine, Sampling(2, logprobs=0)) for token in delta.logprobs)


def test_text_there_and_back(engine: Engine, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    written = 'a <|user|>é🦀 fn main() { println!("漢字"); }\n'
    ids = engine.tokenize(written)
    assert ids == tokenizer.encode(written, add_special_tokens=False)
    assert engine.detokenize(ids) == written == engine.detokenize(engine.tokenize(written, special=False))
    user = tokenizer.convert_tokens_to_ids("<|user|>")
    assert user in ids and user not in engine.tokenize(written, special=False)
    with pytest.raises(EngineError, match=r"0 to \d+") as refused:
        engine.detokenize([9999])
    assert refused.value.status == 400
    chat = [{"role": "system", "content": "Write Rust."}, {"role": "user", "content": "a sum"}]
    assert engine.render_chat(chat) == tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)


def test_what_the_model_says_of_itself(engine: Engine, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert engine.context_length == engine.file.context_length == 256
    assert engine.file.vocabulary_size == len(tokenizer) + 8
    assert engine.file.has_chat_template and engine.file.architecture == "llama"
    assert engine.file.fim == tuple(tokenizer.convert_tokens_to_ids(list(form.FIM_MARKERS[0])))
    assert FIM_MARKERS == form.FIM_MARKERS
    engine.check()


def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    whole = text(engine, GREEDY)
    stop = whole[6:9]
    found = deltas(engine, Sampling(12, temperature=0.0, stop=("not there", stop)))
    assert "".join(delta.text for delta in found) == whole[: whole.index(stop)]
    assert found[-1].finish_reason == "stop"


def test_a_seed_repeats_a_sample(engine: Engine) -> None:
    hot = [text(engine, Sampling(16, temperature=1.5, seed=seed)) for seed in (7, 7, 8, -1, 2**64)]
    assert hot[0] == hot[1] and len(set(hot)) == 4
    assert len({text(engine, Sampling(16, temperature=1.5)) for _ in range(4)}) > 1


def test_penalties_bias_and_cut_distributions(engine: Engine) -> None:
    plain = text(engine, GREEDY)
    first = engine.tokenize(plain)[0]
    assert not text(engine, Sampling(12, temperature=0.0, logit_bias={first: -100.0})).startswith(
        engine.detokenize([first])
    )
    forced = engine.tokenize(" even")[0]
    assert text(engine, Sampling(3, temperature=0.0, logit_bias={forced: 100.0})) == " even" * 3
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repeat_penalty": 5.0}):
        assert text(engine, Sampling(40, temperature=0.0, **penalty)) != text(engine, Sampling(40, temperature=0.0))
    for narrow in ({"top_p": 0.0}, {"top_k": 1}, {"min_p": 1.0}):
        assert text(engine, Sampling(12, temperature=1.0, **narrow)) == plain


def test_what_cannot_be_done_is_refused(engine: Engine) -> None:
    for ids in ([9] * 300, [99999]):
        with pytest.raises(EngineError) as refused:
            deltas(engine, GREEDY, ids)
        assert refused.value.status == 400
    ended = deltas(engine, LONG, [9] * 250)
    assert (ended[-1].finish_reason, ended[-1].completion_tokens) == ("length", 6), "the context is full"


def test_a_caller_that_leaves_frees_its_place(loaded: Loaded) -> None:
    seen: list[Delta] = []
    loaded.engine.generate(loaded.engine.tokenize(TEXT), LONG, lambda delta: (seen.append(delta), len(seen) < 3)[1])
    assert len(seen) == 3

    async def leave() -> None:
        ids = loaded.engine.tokenize(TEXT)
        for _ in range(2 * loaded.settings.slots):
            async with aclosing(loaded.served.scheduler.complete(ids, LONG)) as stream:
                await anext(stream)
        assert "".join([d.text async for d in loaded.served.scheduler.complete(ids, GREEDY)])

    asyncio.run(asyncio.wait_for(leave(), 60))
    assert loaded.models.metrics._gauges[RUNNING.name] == 0


def test_candidates_at_once_are_those_one_by_one(loaded: Loaded) -> None:
    with TestClient(create_app(loaded.models, loaded.settings)) as client:
        hot = {"prompt": TEXT, "max_tokens": 10, "temperature": 1.2, "seed": 3}
        together = client.post("/v1/completions", json={**hot, "n": 4}).json()
        assert together["usage"]["completion_tokens"] <= 40
        texts = [choice["text"] for choice in together["choices"]]
        alone = [text(loaded.engine, Sampling(10, temperature=1.2, seed=3 + place)) for place in range(4)]
        assert texts == alone and len(set(texts)) > 1


def test_the_api_answers_with_it(loaded: Loaded, torch_model: Any) -> None:
    with TestClient(create_app(loaded.models, loaded.settings)) as client:
        body = {"messages": [{"role": "user", "content": "a sum"}], "max_tokens": 8, "temperature": 0}
        whole = client.post("/v1/chat/completions", json={**body, "logprobs": True, "top_logprobs": 2}).json()
        [choice] = whole["choices"]
        assert "".join(token["token"] for token in choice["logprobs"]["content"]) == choice["message"]["content"]
        assert all(math.isfinite(token["logprob"]) for token in choice["logprobs"]["content"])
        lines = client.post("/v1/chat/completions", json={**body, "stream": True}).text.splitlines()
        assert lines[-2] == "data: [DONE]"
        long = client.post("/v1/completions", json={"prompt": [9] * 256})
        assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert client.post("/infill", json={"input_prefix": "fn f() {", "input_suffix": "}"}).status_code == 200
        assert client.get("/ready").status_code == 200


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "EngineC" in child.name() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.nightly
def test_a_replaced_folder_takes_over_and_the_old_process_ends(folder: Path, tmp_path: Path) -> None:
    """Of files, `test_models` shows it. Two starts of vLLM."""
    shutil.copytree(folder, tmp_path / "model")
    other = write_checkpoint(tmp_path / "other", ternary=False, steps=8, more_tokens=form.FIM_MARKERS[0])
    before_all = len(children())

    async def swap() -> None:
        models = Models(ServeSettings(model=tmp_path / "model", slots=2, prompt_cache_mb=16))
        old = models.get(None)
        ids = old.engine.tokenize(TEXT)
        before = text(old.engine, GREEDY)
        long = old.scheduler.complete(ids, LONG)
        await anext(long)
        shutil.copy(other / "model.safetensors", tmp_path / "model" / "model.safetensors")
        await models.refresh()
        await models.refresh()
        new = models.get(None)
        assert new is not old and text(new.engine, GREEDY) != before
        assert [delta async for delta in long][-1].completion_tokens == 240
        del old, long
        for _ in range(200):
            if len(children()) == before_all + 1:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the old engine's process lives on")

    asyncio.run(swap())


def test_a_gguf_is_served_without_vllm(model_path: Path) -> None:
    code = (
        "import sys; from serve.models import Models; from serve.settings import ServeSettings;"
        "Models(ServeSettings.model_validate({'model': sys.argv[1]}));"
        "print([name for name in ('vllm', 'transformers', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, model_path], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_bad_folder_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    def broken(name: str) -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    (broken("adapter") / "config.json").unlink()
    (broken("textless") / "tokenizer.json").unlink()
    (broken("weightless") / "model.safetensors").unlink()
    cut = broken("cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    (broken("torn") / "config.json").write_text("{")
    (broken("image") / "config.json").write_text('{"model_type": "vit"}')
    said = {
        "adapter": "merged first",
        "textless": "no tokenizer.json",
        "weightless": "no model.safetensors",
        "cut": "cut off",
        "torn": "damaged",
        "image": "max_position_embeddings",
    }
    for name, text in said.items():
        with pytest.raises(ModelFileError, match=text):
            read_model(tmp_path / name)

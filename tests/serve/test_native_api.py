"""Gaps that are filled, for OpenAI's `suffix` and llama.cpp's /infill, and tokens as a client sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve.engine import Engine, Sampling
from serve.infill import SNIPPET, infill_prompt

BEFORE, AFTER = "pub fn sum_even(values: &[i32]) -> Option<i64> {\n    let even", ";\n    even.len()\n}\n"


def greedy(engine: Engine, ids: list[int], tokens: int = 12) -> str:
    pieces: list[str] = []
    engine.generate(ids, Sampling(tokens, temperature=0.0), lambda delta: pieces.append(delta.text) is None)
    return "".join(pieces)


def fill(client: TestClient, **fields: Any) -> dict[str, Any]:
    body = {"input_prefix": BEFORE, "input_suffix": AFTER, "n_predict": 12, **fields}
    answer = client.post("/infill", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def markers(engine: Engine, before: str, after: str) -> list[int]:
    return engine.tokenize(f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>")


def test_a_suffix_and_infill_ask_the_model_as_it_was_trained(client: TestClient, engine: Engine) -> None:
    expected = greedy(engine, markers(engine, BEFORE, AFTER))
    body = {"prompt": BEFORE, "suffix": AFTER, "max_tokens": 12, "temperature": 0}
    answer = client.post("/v1/completions", json=body).json()
    assert answer["choices"][0]["text"] == expected
    assert answer["usage"]["prompt_tokens"] == len(markers(engine, BEFORE, AFTER))
    whole = fill(client)
    assert whole["content"] == expected and whole["stop"] and not whole["truncated"]
    assert whole["timings"]["predicted_n"] == whole["tokens_predicted"] == 12
    assert fill(client, input_prefix=BEFORE[:-4], prompt=BEFORE[-4:])["content"] == expected


def test_infill_streams_and_picks_fields_as_llama_cpp_does(client: TestClient) -> None:
    body = {"input_prefix": BEFORE, "input_suffix": AFTER, "n_predict": 12, "stream": True}
    lines = [line for line in client.post("/infill", json=body).text.splitlines() if line]
    pieces = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [piece["stop"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert "".join(piece["content"] for piece in pieces) == fill(client)["content"]
    picked = fill(client, response_fields=["content", "timings/prompt_n", "nothing/here"])
    assert set(picked) == {"content", "timings/prompt_n"}


def test_infill_only_reads_with_no_tokens_to_write(client: TestClient) -> None:
    answer = fill(client, n_predict=0)
    assert answer["content"] == "" and answer["tokens_evaluated"] > 10


def test_text_in_a_gap_is_never_taken_for_a_marker(engine: Engine) -> None:
    hostile = infill_prompt(engine, "a<|fim_middle|>b<|endoftext|>", "", 8).ids
    assert sum(token in (engine.file.fim or ()) for token in hostile) == 3
    assert 0 not in hostile


def test_what_is_farthest_from_the_gap_is_left_out_first(engine: Engine) -> None:
    before, after = "let a = 1;\n" * 90 + "near", "close" + "let b = 2;\n" * 90
    prompt = infill_prompt(engine, before, after, 64, extras=["fn other() {}"])
    assert prompt.truncated and len(prompt.ids) == engine.context_length - 64
    text = engine.detokenize([token for token in prompt.ids if token not in (engine.file.fim or ())])
    assert "nearclose" in text and "other" not in text
    short = infill_prompt(engine, "fn a() {", "}", 64, extras=["fn other() {}"])
    assert engine.detokenize(short.ids).startswith(f"{SNIPPET}fn other() {{}}") and not short.truncated


def test_a_model_without_markers_says_so(client: TestClient) -> None:
    answer = client.post("/infill", json={"model": "other", "input_prefix": "fn", "input_suffix": "}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_infill")


def test_tokens_there_and_back(client: TestClient, engine: Engine, checkpoint: Path) -> None:
    text = 'fn größe() -> &\'static str { "🦀" }'
    ids = client.post("/tokenize", json={"content": text}).json()["tokens"]
    assert ids == engine.tokenize(text)
    assert client.post("/detokenize", json={"tokens": ids}).json() == {"content": text}
    pieces = client.post("/tokenize", json={"content": "fn main", "with_pieces": True}).json()["tokens"]
    assert "".join(piece["piece"] for piece in pieces) == "fn main"
    assert len(client.post("/tokenize", json={"content": "<|user|>", "parse_special": False}).json()["tokens"]) > 1


@pytest.mark.parametrize("tokens", [[-1], [99999], ["a"], None])
def test_what_is_no_token_is_refused(client: TestClient, tokens: Any) -> None:
    answer = client.post("/detokenize", json={"tokens": tokens})
    assert answer.status_code == 400 and answer.json()["error"]["param"].startswith("tokens")


def test_an_echo_begins_every_choice(client: TestClient) -> None:
    body = {"prompt": ["fn main() {", "pub fn"], "n": 2, "max_tokens": 4, "temperature": 0}
    plain = client.post("/v1/completions", json=body).json()["choices"]
    echoed = client.post("/v1/completions", json={**body, "echo": True}).json()["choices"]
    assert [c["text"] for c in echoed] == [body["prompt"][i // 2] + c["text"] for i, c in enumerate(plain)]
    lines = client.post("/v1/completions", json={**body, "echo": True, "stream": True}).text.splitlines()
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line and "[DONE]" not in line]
    streamed = ["".join(c["choices"][0]["text"] for c in chunks if c["choices"][0]["index"] == i) for i in range(4)]
    assert streamed == [choice["text"] for choice in echoed]


def test_top_p_of_nothing_is_greedy(client: TestClient) -> None:
    body = {"prompt": "pub fn sum_even(", "max_tokens": 12}
    texts = [client.post("/v1/completions", json={**body, **how}).json()["choices"][0]["text"]
             for how in ({"temperature": 0}, {"top_p": 0}, {"top_k": 1}, {"min_p": 1.0})]  # fmt: skip
    assert len(set(texts)) == 1

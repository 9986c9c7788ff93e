"""The API without Ray around it: what is answered, and what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from serve.engine import Engine

HI = [{"role": "user", "content": "sum the even values"}]


def complete(client: TestClient, **fields: Any) -> dict[str, Any]:
    body = {"prompt": "pub fn sum_even(", "max_tokens": 12, "temperature": 0, **fields}
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def chat(client: TestClient, **fields: Any) -> dict[str, Any]:
    body = {"messages": HI, "max_tokens": 12, "temperature": 0, **fields}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: TestClient, path: str, **fields: Any) -> list[dict[str, Any]]:
    answer = client.post(path, json={"max_tokens": 12, "temperature": 0, "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert done == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


def test_greedy_completion_is_what_torch_computes(client: TestClient, checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    prompt = tokenizer("pub fn sum_even(", return_tensors="pt")
    expected = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt.input_ids.shape[1] :]
    answer = complete(client)
    assert answer["choices"][0]["text"] == tokenizer.decode(expected)
    assert answer["choices"][0]["finish_reason"] == "length"
    prompt_tokens = prompt.input_ids.shape[1]
    assert answer["usage"] == {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 12,
        "total_tokens": prompt_tokens + 12,
    }
    assert complete(client, prompt=prompt.input_ids[0].tolist())["choices"] == answer["choices"]


def test_chat_uses_the_template_in_the_file(client: TestClient, engine: Engine, checkpoint: Path) -> None:
    messages = [
        {"role": "developer", "content": "Write Rust."},
        {"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "sum"}]},
        {"role": "assistant", "content": "fn f() {}"},
        *HI,
    ]
    rendered = "<|user|>Write Rust.\n\na sum<|assistant|>fn f() {}<|endoftext|><|user|>sum the even values<|assistant|>"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer.apply_chat_template(HI, tokenize=False, add_generation_prompt=True) == engine.render_chat(HI)
    answer = chat(client, messages=messages)
    assert answer["usage"]["prompt_tokens"] == len(tokenizer(rendered).input_ids)
    assert answer["choices"][0]["message"]["content"] == complete(client, prompt=rendered)["choices"][0]["text"]
    assert answer["object"] == "chat.completion"


def test_a_stream_says_what_the_whole_answer_says(client: TestClient) -> None:
    chunks = events(client, "/v1/completions", prompt="pub fn sum_even(", stream_options={"include_usage": True})
    whole = complete(client)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1]) == whole["choices"][0]["text"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["length"]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]

    chunks = events(client, "/v1/chat/completions", messages=HI, n=2)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    for index in (0, 1):
        deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"][0]["index"] == index]
        assert "".join(delta.get("content", "") for delta in deltas) == chat(client)["choices"][0]["message"]["content"]
    assert all("usage" not in chunk for chunk in chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_a_seed_repeats_each_of_n_samples_and_they_differ(client: TestClient) -> None:
    hot = {"temperature": 1.5, "n": 4, "seed": 7, "max_tokens": 16}
    texts = [choice["text"] for choice in complete(client, **hot)["choices"]]
    assert texts == [choice["text"] for choice in complete(client, **hot)["choices"]]
    assert len(set(texts)) > 1
    assert len({complete(client, temperature=1.5)["choices"][0]["text"] for _ in range(4)}) > 1


def test_stop_strings_end_the_text_before_them(client: TestClient) -> None:
    text = complete(client)["choices"][0]["text"]
    stop = text[5:8]
    choice = complete(client, stop=["never", stop])["choices"][0]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_several_prompts_are_answered_in_order(client: TestClient) -> None:
    prompts = ["pub fn sum_even(", "fn main() {"]
    choices = complete(client, prompt=prompts, n=2)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert choices[0]["text"] == choices[1]["text"] == complete(client, prompt=prompts[0])["choices"][0]["text"]
    assert choices[2]["text"] == choices[3]["text"] == complete(client, prompt=prompts[1])["choices"][0]["text"]


def test_logprobs_are_those_of_the_tokens_written(client: TestClient) -> None:
    choice = complete(client, logprobs=2)["choices"][0]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    columns = [choice["logprobs"][key] for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")]
    for token, logprob, top, offset in zip(*columns, strict=True):
        assert logprob == max(top.values()) == top[token] <= 0
        assert len(top) == 2
        assert choice["text"][offset:].startswith(token)
    content = chat(client, logprobs=True, top_logprobs=3)["choices"][0]["logprobs"]["content"]
    assert len(content) == 12 and all(len(token["top_logprobs"]) == 3 for token in content)
    assert chat(client)["choices"][0]["logprobs"] is None


def test_a_long_answer_ends_with_the_context(client: TestClient) -> None:
    answer = chat(client, max_tokens=100_000, logit_bias={"0": -100})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] <= 256


def test_unknown_fields_are_ignored_and_null_is_the_default(client: TestClient) -> None:
    plain = complete(client)["choices"]
    assert complete(client, store=True, user="u", stop=None, n=None, suffix="", made_up={"x": 1})["choices"] == plain


REFUSED: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "text for a number": ("completions", {"prompt": "x", "temperature": "1"}, "temperature", None),
    "true for a number": ("completions", {"prompt": "x", "max_tokens": True}, "max_tokens", None),
    "no tokens": ("completions", {"prompt": "x", "max_tokens": 0}, "max_tokens", None),
    "too hot": ("completions", {"prompt": "x", "temperature": 2.1}, "temperature", None),
    "no prompt": ("completions", {}, "prompt", None),
    "an empty prompt": ("completions", {"prompt": ""}, "prompt", None),
    "no prompts": ("completions", {"prompt": []}, "", None),
    "a prompt of mixed kinds": ("completions", {"prompt": ["x", 1]}, "prompt", None),
    "an unknown token": ("completions", {"prompt": [99999]}, "", None),
    "a long prompt": ("completions", {"prompt": [9] * 256}, "prompt", "context_length_exceeded"),
    "too many samples": ("completions", {"prompt": "x", "n": 9}, "n", None),
    "too many stops": ("completions", {"prompt": "x", "stop": ["a"] * 17}, "", None),
    "a bias of no token": ("completions", {"prompt": "x", "logit_bias": {"fn": 1}}, "", None),
    "a suffix that the model can't use": (
        "completions",
        {"model": "other", "prompt": "x", "suffix": "}"},
        "suffix",
        "no_infill",
    ),
    "a suffix of token ids": ("completions", {"prompt": [9], "suffix": "}"}, "", None),
    "a gap in a long text": (
        "completions",
        {"prompt": "x" * 999, "suffix": "y" * 999},
        "prompt",
        "context_length_exceeded",
    ),
    "an echo with logprobs": ("completions", {"prompt": "x", "echo": True, "logprobs": 1}, "", None),
    "an unknown token to echo": ("completions", {"prompt": [99999], "echo": True}, "prompt", None),
    "too high a top_p": ("completions", {"prompt": "x", "top_p": 1.1}, "top_p", None),
    "no messages": ("chat/completions", {"messages": []}, "messages", None),
    "an unknown role": ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", None),
    "tools": ("chat/completions", {"messages": HI, "tools": [{}]}, "tools", "unsupported_parameter"),
    "JSON mode": (
        "chat/completions",
        {"messages": HI, "response_format": {"type": "json_object"}},
        "response_format",
        "unsupported_parameter",
    ),
    "alternatives without logprobs": ("chat/completions", {"messages": HI, "top_logprobs": 2}, "", None),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_requests_get_400_in_openais_shape(client: TestClient, case: str, stream: bool) -> None:
    path, body, param, code = REFUSED[case]
    answer = client.post(f"/v1/{path}", json={**body, "stream": stream})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and len(error["message"]) > 10
    assert (error["param"] or "") == param
    assert error["code"] == code


def test_bodies_that_are_no_json_or_too_large_are_refused(client: TestClient) -> None:
    for body in (b"", b"{", b"[" * 50_000, b"[]", b"\xff\xfe", b'{"prompt": "\\ud800"}', b'{"prompt":"x","top_p":NaN}'):
        answer = client.post("/v1/completions", content=body)
        assert answer.status_code == 400, (body[:20], answer.text)
        assert answer.json()["error"]["message"]
    answer = client.post("/v1/completions", json={"prompt": "x" * 70_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_models_are_listed_and_others_are_not_found(client: TestClient) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["tiny", "other"]
    assert client.get("/v1/models/tiny").json()["object"] == "model"
    for answer in (
        client.get("/v1/models/org/other"),
        client.post("/v1/completions", json={"model": "another", "prompt": "x"}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert "tiny" in answer.json()["error"]["message"]
    assert client.get("/nowhere").json()["error"]["message"].startswith("GET /nowhere: Not Found")
    assert client.get("/v1/completions").status_code == 405


def test_health_metrics_and_documentation(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "model": "tiny"}
    before = tokens_written(client)
    complete(client)
    assert tokens_written(client) == before + 12
    text = client.get("/metrics").text
    assert 'ferrotype_serve_requests_total{endpoint="/v1/completions",status="200"}' in text
    assert "ferrotype_serve_first_token_seconds_bucket" in text
    assert "ferrotype_serve_running 0.0" in text
    schema = client.get("/openapi.json").json()
    assert "max_completion_tokens" in schema["components"]["schemas"]["ChatRequest"]["properties"]


def tokens_written(client: TestClient) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("ferrotype_serve_completion_tokens_total "))

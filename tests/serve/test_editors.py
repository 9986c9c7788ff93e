"""What llama.vim, llama.vscode and Continue send, by their sources, and what they read from the answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve.engine import Engine

LINES = ["pub fn sum_even(values: &[i32]) -> Option<i64> {", "    let even", "    even.len()", "}"]
CURSOR = 1
"""The line that is being written."""
EXTRAS = [{"text": "pub fn other() -> u8 {\n    1\n}\n", "time": [12, 345678], "filename": "src/other.rs"}]
TIMINGS = ("prompt_n", "prompt_ms", "prompt_per_token_ms", "prompt_per_second",
           "predicted_n", "predicted_ms", "predicted_per_token_ms", "predicted_per_second")  # fmt: skip
FIELDS = ["content", *(f"timings/{name}" for name in TIMINGS), "truncated", "tokens_cached"]
MARKED = "<|fim_prefix|>{}<|fim_suffix|>{}<|fim_middle|>"
"""What docs/editors.md gives Continue as its template."""

BEFORE = "\n".join(LINES[:CURSOR]) + "\n"
AFTER = "\n" + "\n".join(LINES[CURSOR + 1 :]) + "\n"


def vim(**fields: Any) -> dict[str, Any]:
    """llama.vim's request at the cursor. It names a model, empty where none is set."""
    return {
        "id_slot": 0, "input_prefix": BEFORE, "input_suffix": AFTER, "input_extra": EXTRAS, "prompt": LINES[CURSOR],
        "n_predict": 128, "stop": [], "n_indent": 4, "top_k": 40, "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"], "stream": False, "cache_prompt": True, "t_max_prompt_ms": 500,
        "t_max_predict_ms": 1000, "response_fields": FIELDS, "model": "", **fields,
    }  # fmt: skip


def vscode(**fields: Any) -> dict[str, Any]:
    """llama.vscode's."""
    return {
        "input_prefix": BEFORE, "input_suffix": AFTER, "input_extra": EXTRAS, "prompt": LINES[CURSOR], "n_predict": 128,
        "top_k": 40, "top_p": 0.99, "stream": False, "samplers": ["top_k", "top_p", "infill"], "cache_prompt": True,
        "n_indent": 4, "t_max_prompt_ms": 500, "t_max_predict_ms": 2500, **fields,
    }  # fmt: skip


def events(client: TestClient, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream as both read it: lines that begin with `data: `, up to [DONE]."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_llama_vim_finds_its_suggestion_and_the_times_it_shows(client: TestClient) -> None:
    answer = client.post("/infill", json=vim(), headers={"Authorization": "Bearer "})
    assert answer.status_code == 200, answer.text
    # It looks before it parses: an object, and this very spelling of the field.
    assert re.match(r"\s*{", answer.text) and re.search(r'"content"\s*:"', answer.text)
    said = answer.json()
    assert set(said) == set(FIELDS)
    assert said["content"].strip() and said["truncated"] is False
    assert said["tokens_cached"] == said["timings/prompt_n"] + said["timings/predicted_n"]
    assert all(said[f"timings/{name}"] > 0 for name in TIMINGS)
    one_line = client.post("/infill", json=vim(stop=["\n"], n_predict=16)).json()
    assert "\n" not in one_line["content"]


def test_llama_vim_lets_its_snippets_be_read_beforehand(client: TestClient) -> None:
    body = vim(input_prefix="", input_suffix="", prompt="", n_predict=0, temperature=0.0, samplers=[],
               t_max_prompt_ms=1, t_max_predict_ms=1, response_fields=[""])  # fmt: skip
    answer = client.post("/infill", json=body)
    assert (answer.status_code, answer.json()) == (200, {})


def test_llama_vim_edits_what_is_selected_by_instruction(client: TestClient) -> None:
    messages = [{"role": "system", "content": "Respond with the result."}, {"role": "user", "content": ""}]
    warm = {"id_slot": 0, "messages": messages, "samplers": [], "n_predict": 0, "stream": False, "cache_prompt": True,
            "response_fields": [""], "model": ""}  # fmt: skip
    assert client.post("/v1/chat/completions", json=warm).json()["usage"]["completion_tokens"] == 1
    messages[1]["content"] = "INSTRUCTION: make it public"
    body = {"id_slot": 0, "messages": messages, "min_p": 0.1, "temperature": 0.1, "samplers": ["min_p", "temperature"],
            "stream": True, "cache_prompt": True, "model": ""}  # fmt: skip
    deltas = [event["choices"][0]["delta"] for event in events(client, "/v1/chat/completions", body)]
    assert all(isinstance(delta.get("content", ""), str) for delta in deltas)
    assert "".join(delta.get("content", "") for delta in deltas)


def test_llama_vscode_finds_its_suggestion(client: TestClient) -> None:
    answer = client.post("/infill", json=vscode())
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert isinstance(said["content"], str) and said["content"].strip() and said["truncated"] is False
    assert said["tokens_cached"] > 0 and set(TIMINGS) <= set(said["timings"])
    warm = vscode(input_prefix="", input_suffix="", prompt="", n_predict=0, samplers=[], t_max_predict_ms=1)
    del warm["stream"], warm["top_k"], warm["top_p"], warm["n_indent"]
    assert client.post("/infill", json=warm).json()["content"] == ""


@pytest.mark.parametrize("bound", [{"max_tokens": -1}, {"n_predict": -1}, {}])
def test_llama_vscode_chats_with_llama_cpps_own_fields(client: TestClient, bound: dict[str, int]) -> None:
    body = {
        "messages": [{"role": "system", "content": "You are a coder."}, {"role": "user", "content": "Shorten."}],
        "stream": False, "cache_prompt": True, "samplers": "edkypmxt", "temperature": 0.8, "dynatemp_range": 0,
        "top_k": 40, "top_p": 0.95, "min_p": 0.05, "typical_p": 1, "xtc_probability": 0, "repeat_last_n": 64,
        "repeat_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0, "dry_multiplier": 0,
        "timings_per_token": False, **bound,
    }  # fmt: skip
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"], answer.text


def test_llama_vscodes_agent_is_told_that_there_are_no_tools(client: TestClient) -> None:
    tools = [{"type": "function", "function": {"name": "read_file", "parameters": {}}}]
    body = {"messages": [{"role": "user", "content": "x"}], "tools": tools, "tool_choice": "auto"}
    answer = client.post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_parameter")


def test_continue_completes_with_the_documented_template(client: TestClient, engine: Engine) -> None:
    prefix = BEFORE + LINES[CURSOR]
    body = {"model": "tiny", "prompt": MARKED.format(prefix, AFTER), "max_tokens": 12, "temperature": 0.01,
            "stop": ["\n\n", "\r\n\r\n", "/src/", "#- coding: utf-8", "```"], "stream": True}  # fmt: skip
    said = events(client, "/v1/completions", body)
    text = "".join(event["choices"][0]["text"] for event in said)
    # A template is plain text with markers in it; the gap must reach the model as in a request that names its parts.
    filled = {"model": "tiny", "prompt": prefix, "suffix": AFTER, "max_tokens": 12, "temperature": 0}
    assert text == client.post("/v1/completions", json=filled).json()["choices"][0]["text"] != ""
    assert engine.tokenize(MARKED.format("", ""))[0] == (engine.file.fim or (None,))[0]


def test_continue_chats_with_parts_of_text_and_counts_tokens(client: TestClient) -> None:
    assert "tiny" in [card["id"] for card in client.get("/v1/models").json()["data"]]
    body = {
        "model": "tiny", "max_tokens": 24, "temperature": 0.2, "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "system", "content": "You write Rust."},
                     {"role": "user", "content": [{"type": "text", "text": "Reverse a string"}]}],
    }  # fmt: skip
    said = events(client, "/v1/chat/completions", body)
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in said if event["choices"])
    assert said[-1]["choices"] == [] and said[-1]["usage"]["completion_tokens"] == 24

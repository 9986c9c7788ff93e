"""Models to evaluate that are no checkpoints: a real GGUF file in llama.cpp, and an endpoint that is played here."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "trainer" / "export"))

from tiny_llama import write_checkpoint

from reward_farm.problem import Problem
from services.models.endpoint import EndpointError, endpoint_model
from services.models.gguf import gguf_model
from services.models.model import Model
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.form import PromptForms, find_markers, instruction
from trainer.evaluation.sample import Generation, Identity, Mode, PromptForm, plan_samples
from trainer.evaluation.settings import EvaluationSettings
from trainer.export.writer import export_gguf
from trainer.tasks.task import Form, Split, Task

SETTINGS = EvaluationSettings(samples_per_task=3)


def task(id: str = "t", suffix: str = "") -> Task:
    form = Form.FIM if suffix else Form.COMPLETE
    problem = Problem("double", ("i32",), "i32")
    return Task(
        id, "f", Split.BENCHMARK, "fn double(x: i32) -> i32 {", "Double it.", "", problem, form=form, suffix=suffix
    )


def ask(model: Model, tasks: Sequence[Task]) -> list[Generation]:
    plans = plan_samples(tasks, SETTINGS, Identity(model.sha256, "rustc"), model.forms.form_of)

    async def work() -> list[Generation]:
        try:
            return [generated async for generated in model.answers(plans)]
        finally:
            await model.close()

    found = asyncio.run(work())
    assert sorted(each.key for each in found) == sorted(plan.text_key for plan in plans)
    return found


class Endpoint(BaseHTTPRequestHandler):
    """Answers as OpenAI's API does; each first question it is too busy for."""

    asked: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012
    busy = 0
    models = ("tiny",)

    def do_GET(self) -> None:
        self.answer(200, {"data": [{"id": name} for name in self.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Endpoint.asked.append((self.path, body))
        if Endpoint.busy:
            Endpoint.busy -= 1
            return self.answer(503, {"error": "busy"})
        if body["max_tokens"] == 1:
            return self.answer(400, {"error": "too few tokens"})
        choice: dict[str, Any] = {"finish_reason": "length", "text": "\n    x * 2\n}"}
        if self.path.endswith("chat/completions"):
            choice = {"finish_reason": "stop", "message": {"content": "```rust\nfn double(x: i32) -> i32 {}\n```"}}
        return self.answer(200, {"choices": [choice], "usage": {"completion_tokens": 7}})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Endpoint.asked, Endpoint.busy, Endpoint.models = [], 0, ("tiny",)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_an_endpoint_is_asked_in_chat_with_the_signature_and_again_when_it_is_busy(url: str):
    Endpoint.busy = 2
    found = ask(endpoint_model(url, None, "auto", 50, 4), [task()])
    assert len(found) == 4 and len(Endpoint.asked) == 6
    assert {path for path, _ in Endpoint.asked} == {"/v1/chat/completions"}
    assert "fn double(x: i32) -> i32 {" in Endpoint.asked[0][1]["messages"][0]["content"]
    assert (found[0].tokens, found[0].truncated, found[0].form) == (7, False, PromptForm.CHAT)
    assert all(each.latency_ms > 0 for each in found)
    assert len({body["seed"] for _, body in Endpoint.asked}) == 4


def test_an_endpoint_goes_on_with_code_where_that_is_asked_for(url: str):
    found = ask(endpoint_model(f"{url}/v1", "tiny", "base", 50, 1), [task()])
    assert {path for path, _ in Endpoint.asked} == {"/v1/completions"}
    assert found[0].text == "\n    x * 2\n}" and found[0].truncated


def test_an_endpoints_refusals_are_told(url: str):
    with pytest.raises(EndpointError, match=r"refuses \(400\).*too few tokens"):
        ask(endpoint_model(url, None, "auto", 1, 1), [task()])
    Endpoint.models = ("one", "two")
    with pytest.raises(EndpointError, match="serves one, two: say which with --model"):
        endpoint_model(url, None, "auto", 50, 1)


def test_a_gguf_file_answers_as_often_as_it_is_asked(tmp_path: Path):
    path = export_gguf(write_checkpoint(tmp_path / "step_1"), tmp_path / "tiny.gguf").path
    model = gguf_model(path, "base", 12, threads=1)
    assert model.facts.bytes == path.stat().st_size and model.label == "tiny"
    found = ask(model, [task(str(number)) for number in range(3)])
    again = ask(gguf_model(path, "base", 12, threads=1), [task(str(number)) for number in range(3)])
    greedy = {each.key: each.text for each in found if each.mode is Mode.GREEDY}
    assert greedy == {each.key: each.text for each in again if each.mode is Mode.GREEDY}
    assert all(0 < each.tokens <= 12 and each.latency_ms > 0 for each in found)
    (long,) = {each.text for each in ask(gguf_model(path, "base", 12, threads=1), [huge()])}
    assert long == ""


def huge() -> Task:
    plain = task()
    return Task("h", "f", plain.split, "// x\n" * 9000 + plain.prompt, plain.instruction, "", plain.problem)


def test_the_form_is_chosen_from_what_the_tokenizer_knows():
    markers = find_markers({"<fim_prefix>", "<fim_suffix>", "<fim_middle>"}.__contains__)
    assert find_markers(lambda _: False) is None
    holed, whole = task(suffix="\n}\n"), task()
    auto = PromptForms("auto", has_chat=True, markers=markers)
    assert (auto.form_of(whole), auto.form_of(holed)) == (PromptForm.CHAT, PromptForm.FIM)
    assert auto.text(holed) == "<fim_prefix>fn double(x: i32) -> i32 {<fim_suffix>\n}\n<fim_middle>"
    assert "chat template" in auto.said and "fill-in-the-middle" in auto.said
    assert PromptForms("auto").form_of(whole) is PromptForm.BASE
    assert PromptForms("base", has_chat=True).form_of(whole) is PromptForm.BASE
    assert instruction(whole).endswith("```rust\nfn double(x: i32) -> i32 {\n```")
    for wanted in ("chat", "fim"):
        with pytest.raises(EvaluationError, match="Take --form base"):
            PromptForms(wanted)  # type: ignore[arg-type]

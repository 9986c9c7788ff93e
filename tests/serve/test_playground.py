"""The playground in a real browser, at a real server with a small model and real rustc."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect, sync_playwright

from reward_farm.pool import RewardFarm
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Verdict
from serve.api import create_app
from serve.judging import FarmJudging
from serve.keys import new_key, read_keys
from serve.models import Models
from serve.playground.page import read_page
from serve.settings import ServeSettings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
MOST_BYTES = 60_000
ASKED = "**/completions"
LEARNT = "/// Returns the sum of the even numbers in `values`, or `None` if there are none.\npub fn sum_even("
"""The small model has learnt by heart how this goes on."""
HOSTILE = "<img src=x onerror=alert('owned')><script>alert('owned')</script>&lt;b&gt;</pre>"

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: ./scripts/test.sh installs one where it may")


class LateFarm:
    """A farm that starts in the server's own loop, when it is first asked."""

    def __init__(self, settings: FarmSettings) -> None:
        self.settings, self._farm = settings, None

    async def judge(self, submission: Submission, deadline_seconds: float) -> Verdict:
        self._farm = self._farm or FarmJudging(RewardFarm(self.settings))
        return await self._farm.judge(submission, deadline_seconds)


class Running:
    """The API at a port of its own, in a thread, with models of its own: they belong to the loop that asks them."""

    def __init__(self, settings: ServeSettings, judge: LateFarm | None = None) -> None:
        self.models = models = Models(settings)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
        config = uvicorn.Config(create_app(models, settings, judge), port=int(self.url[17:-1]), log_level="error")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve()), daemon=True)
        self.thread.start()
        self.wait_for(lambda: self.server.started)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)

    @staticmethod
    def wait_for(met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not met():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def metric(self, name: str) -> float:
        lines = self.models.metrics.exposition().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"ferrotype_serve_{name}"))


@pytest.fixture(scope="module")
def server(cluster: None, settings: ServeSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    farm = FarmSettings(scratch_dir=tmp_path_factory.mktemp("scratch"))
    kept = settings.model_copy(update={"farm": farm, "watch_seconds": 0})
    running = Running(kept, LateFarm(farm))
    yield running
    running.close()


@pytest.fixture(scope="module")
def guarded(settings: ServeSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One that wants a key, and has no compilers; and a key."""
    key, line = new_key("alice")
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(line)
    running = Running(settings.model_copy(update={"api_keys": read_keys(path), "watch_seconds": 0}))
    yield running, key
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page in a fresh profile. What fails in it without being said, or is loaded from elsewhere, fails."""
    opened, troubles = [], []

    def note(page: Page, url: str) -> None:
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("request", lambda request: None if request.url.startswith(url) else troubles.append(request.url))
        page.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)

    def visit(url: str, **options: Any) -> Page:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        note(page, url)
        page.goto(url)
        return page

    yield visit
    for context in opened:
        context.close()
    assert [trouble for trouble in troubles if not trouble.startswith("data:")] == []


@pytest.fixture
def page(server: Running, visit: Callable[..., Page]) -> Page:
    page = visit(server.url)
    expect(page.locator("#model option")).to_have_count(2)
    return page


def ask(page: Page, prompt: str, outcome: str = "Done", **fields: str) -> str:
    """Types, presses Ctrl+Enter, waits, and gives what the answer's card says."""
    page.fill("#prompt", prompt)
    for name, value in fields.items():
        page.fill(f"#{name}", value)
    page.press("#prompt", "Control+Enter")
    expect(page.locator("#status")).to_contain_text(outcome, timeout=15_000)
    return page.inner_text("#result")


def edited(page: Page, **fields: Any) -> None:
    """Adds fields to what the page sends. Not by a route: playwright holds a routed answer until it has ended."""
    page.evaluate(
        "fields => { const was = fetch; window.fetch = (url, how) => was(url, how.body ?"
        " {...how, body: JSON.stringify({...JSON.parse(how.body), ...fields})} : how) }",
        fields,
    )


def answered(page: Page, *events: Any, status: int = 200) -> None:
    """Answers the page's next questions with these events, or with one body."""
    stream = "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)
    body = stream if status == 200 else json.dumps(events[0])
    page.route(ASKED, lambda route: route.fulfill(status=status, body=body))


def test_the_page_is_one_small_file_with_a_strict_policy(
    client: TestClient, models: Models, settings: ServeSettings
) -> None:
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert len(answer.content) < MOST_BYTES
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert client.head("/").status_code == 200 and client.head("/").content == b""
    linked = {where.split(":")[0] for where in re.findall(r'(?:src|href)="([^"]*)"', answer.text)}
    assert linked == {"data", "docs"}, "something is loaded from elsewhere"
    assert read_page().html.count(b"</script>") == read_page().html.count(b"</style>") == 1
    assert "/" not in client.get("/openapi.json").json()["paths"]
    with TestClient(create_app(models, settings.model_copy(update={"playground": False}))) as bare:
        assert (bare.get("/").status_code, bare.get("/").json()["error"]["type"]) == (404, "invalid_request_error")


@in_browser
def test_ctrl_enter_streams_an_answer(page: Page, server: Running) -> None:
    lengths: list[int] = []
    page.expose_function("grown", lambda length: lengths.append(length))
    page.evaluate(
        "new MutationObserver(() => grown(document.querySelector('#text').textContent.length))"
        ".observe(document.querySelector('#text'), {childList: true, subtree: true})"
    )
    edited(page, logit_bias={"0": -100})
    # Two hundred tokens take a fifth of a second, in which a browser on a busy machine may not get to draw.
    for _ in range(4):
        lengths.clear()
        text = ask(page, LEARNT, max_tokens="200", temperature="0")
        if len(set(lengths)) > 2:
            break
    whole = httpx.post(f"{server.url}v1/completions", json={"prompt": LEARNT, "max_tokens": 200, "temperature": 0,
                                                          "logit_bias": {"0": -100}}).json()  # fmt: skip
    shown = page.locator("#text").text_content() or ""
    assert shown.removesuffix("\n") == (LEARNT + whole["choices"][0]["text"]).removesuffix("\n")
    assert "values: &[i32]" in text and len(set(lengths)) > 2, "it came in one piece"
    figures = page.inner_text("#figures")
    assert re.search(r"200\s+tokens\b", figures) and "tokens/s" in figures and "first after" in figures
    assert page.inner_text("#status") == "Done: all tokens used."


@in_browser
def test_escape_stops_the_server_too(page: Page, server: Running) -> None:
    before, written = server.metric("cancelled_total"), server.metric("completion_tokens_total")
    edited(page, n=8, logit_bias={"0": -100})  # about a second of work for two slots
    page.fill("#max_tokens", "240")
    page.press("#prompt", "Control+Enter")
    expect(page.locator("#run")).to_have_text("Stop Esc")
    server.wait_for(lambda: server.metric("running") > 0)
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator("#run")).to_have_text(re.compile("^Run"))
    server.wait_for(lambda: server.metric("running") + server.metric("waiting") == 0)
    assert server.metric("cancelled_total") > before
    assert server.metric("completion_tokens_total") - written < 8 * 240 * 0.75
    page.reload()
    ask(page, LEARNT, max_tokens="4")


@in_browser
def test_verify_shows_what_rustc_says_under_the_code(page: Page) -> None:
    page.check("input[name=verify][value=best_effort]", force=True)
    text = ask(page, "pub fn one() -> bool { 1 }\n// ", max_tokens="4", candidates="2")
    assert "rustc does not accept this." in text
    assert "error[E0308]: mismatched types" in text and "--> answer.rs:1:24" in text and "^ expected `bool`" in text
    assert page.locator(".listing .line.error").count() == 1
    expect(page.locator("#candidates-seen li")).to_have_count(2)
    page.check("input[name=verify][value=required]", force=True)
    text = ask(page, "pub fn one() -> bool { 1 }\n// ", outcome="Failed")
    assert "None of 2 candidates is good" in page.inner_text("#trouble") and "error[E0308]" in text
    ask(page, "pub fn one() -> i32 { 1 }\n// ")
    expect(page.locator("#verdict-word")).to_have_text("rustc accepts this.")
    assert "good" in page.inner_text("#figures")
    ask(page, "pub fn one() -> i32 { 1 }\n// ", entry="one", tests="assert_eq!(one(), 2);", outcome="Failed")
    assert "wrong answers" in page.inner_text("#rendered") or "test" in page.inner_text("#rendered")


@in_browser
@pytest.mark.parametrize("mode", ["complete", "fill", "chat"])
def test_copy_as_curl_gives_a_command_that_works(page: Page, mode: str) -> None:
    page.check(f"input[name=mode][value={mode}]", force=True)
    if mode == "fill":
        page.fill("#suffix", "\n    it's;\n}\n")
    ask(page, '// it\'s "quoted" $HOME `x` \\ é\n' + LEARNT, max_tokens="12", temperature="0")
    page.click("#copy")
    answer = page.evaluate("navigator.clipboard.readText()")
    page.click("#curl")
    expect(page.locator("#curl")).to_have_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    said = json.loads(subprocess.check_output(["sh", "-c", command], timeout=30))["choices"][0]
    assert (said["message"]["content"] if mode == "chat" else said["text"]) == answer != ""


@in_browser
def test_history_and_draft_survive_a_reload_within_bounds(page: Page) -> None:
    first = ask(page, LEARNT, max_tokens="9", temperature="0")
    ask(page, "fn other() {", max_tokens="2")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("fn other() {")
    page.click("#open-history")
    entries = page.locator("#past li")
    expect(entries).to_have_count(2)
    entries.nth(1).locator("button").press("Enter")
    expect(page.locator("#prompt")).to_have_value(LEARNT)
    expect(page.locator("#max_tokens")).to_have_value("9")
    assert page.inner_text("#result") == first
    page.evaluate(
        "const was = JSON.parse(localStorage['ferrotype.playground']);"
        "was.history = Array(60).fill({...was.history[0], answer: 'x'.repeat(30000)});"
        "localStorage['ferrotype.playground'] = JSON.stringify(was)"
    )
    ask(page, "fn last() {", max_tokens="2")
    kept = json.loads(page.evaluate("localStorage['ferrotype.playground']"))
    assert kept["history"][0]["form"]["prompt"] == "fn last() {" and 5 < len(kept["history"]) <= 40
    assert len(json.dumps(kept)) < 600_000
    page.click("#open-history")
    page.click("#clear-history")
    expect(page.locator("#past")).to_have_text("Nothing was asked yet.")
    page.evaluate("localStorage['ferrotype.playground'] = '{damaged'")
    page.reload()
    expect(page.locator("#model option")).to_have_count(2)


@in_browser
def test_a_key_is_asked_for_and_a_bad_one_is_said_to_be(
    guarded: tuple[Running, str], visit: Callable[..., Page]
) -> None:
    (server, key), command = guarded, ""
    page = visit(server.url)
    expect(page.locator("#trouble")).to_have_text("This server wants an API key.")
    expect(page.locator("#key")).to_be_focused()
    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    expect(page.locator("#trouble")).to_contain_text("No known API key")
    page.fill("#key", key)
    page.press("#key", "Enter")
    expect(page.locator("#model option")).to_have_count(2)
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#no-verify")).to_contain_text("ferrotype serve --verify")
    ask(page, LEARNT, max_tokens="4", temperature="0")
    page.click("#curl")
    expect(page.locator("#curl")).to_have_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    assert key not in command and key not in page.evaluate("JSON.stringify({...localStorage})")
    environment = {**os.environ, "FERROTYPE_API_KEY": key}
    assert b"choices" in subprocess.check_output(["sh", "-c", command], timeout=30, env=environment)
    page.reload()
    expect(page.locator("#model option")).to_have_count(2)


@in_browser
def test_whatever_is_typed_or_answered_stays_text(page: Page) -> None:
    choice = {"index": 0, "text": HOSTILE, "finish_reason": None}
    found = {"level": "error", "code": HOSTILE, "message": HOSTILE, "line": 1, "column": 1}
    verification = {"status": HOSTILE, "reason": HOSTILE, "diagnostics": [found], "rendered": f"error: {HOSTILE}"}
    last = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "verification": verification}
    page.route("**/v1/models", lambda route: route.fulfill(json={"data": [{"id": HOSTILE}]}))
    page.reload()
    expect(page.locator("#model option")).to_have_text(HOSTILE)
    answered(page, {"choices": [choice]}, last, "[DONE]")
    text = ask(page, f"// {HOSTILE}\n")
    assert text.count(HOSTILE) == 4, "of prompt, answer, status and diagnostics"
    page.unroute(ASKED)
    answered(page, {"choices": [choice]}, {"error": {"message": HOSTILE}})
    ask(page, HOSTILE, outcome="Failed")
    expect(page.locator("#trouble")).to_have_text(HOSTILE)
    page.check("input[name=mode][value=chat]", force=True)
    page.unroute(ASKED)
    answered(page, {"choices": [{"index": 0, "delta": {"content": f"{HOSTILE}\n```rust\n{HOSTILE}\n```\n"}}]}, "[DONE]")
    assert ask(page, HOSTILE).count(HOSTILE) == 2
    page.click("#open-history")
    assert page.inner_text("#past").count(HOSTILE) == 4, "of three prompts and a status"
    assert page.locator("img, main script, #past script").count() == 0
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")


@in_browser
def test_errors_are_said_in_words(page: Page) -> None:
    ask(page, "x " * 400, outcome="Failed")
    assert "This model's context is 256 tokens" in page.inner_text("#trouble")
    for events, status, words in (
        ([{"error": {"message": "The server is overloaded: try again."}}], 429, "overloaded: try again."),
        (["no json"], 502, "The server answered 502"),
        ([{"choices": [{"index": 0, "text": "half"}]}], 200, "broke off before the answer's end"),
    ):
        page.unroute_all()
        answered(page, *events, status=status)
        ask(page, "fn", outcome="Failed")
        assert words in page.inner_text("#trouble")
    page.unroute_all()
    page.route(ASKED, lambda route: route.abort())
    ask(page, "fn", outcome="Failed")
    assert page.inner_text("#trouble") == "The server can't be reached. Is it still running?"
    page.fill("#prompt", " ")
    page.press("#prompt", "Control+Enter")
    expect(page.locator("#trouble")).to_have_text("Write something first.")
    page.fill("#prompt", "fn")
    page.fill("#temperature", "9")
    page.press("#prompt", "Control+Enter")
    expect(page.locator("#trouble")).to_contain_text("Temperature: ")
    expect(page.locator("#temperature")).to_be_focused()


@in_browser
def test_colours_never_change_the_text_and_never_take_long(page: Page) -> None:
    snippets = ("/* a /* b */ c", '"open \\" string', 'r##"raw "# "##x', "'a' 'static b'\\n' '\\u{1F600}' '",
                "#[cfg(x)] #![y", "1.0e-5_f64 0xFF_u8 1..2", "r#type r#\"x\"#", "é日本 \U0001f600 \u202e x",
                "/**/ /// doc\n//! x\n", "a!=b c! d")  # fmt: skip
    for text in (*snippets, *(each * 3000 for each in ("/*", '"\\', "r#", "'", "#[", "((((")), "x" * 50_000):
        page.fill("#prompt", text)
        assert page.locator("#prompt").evaluate(
            "area => area.previousElementSibling.textContent === area.value + '\\n'"
        )
    page.fill("#prompt", "pub fn f<'a>(x: &'a str) -> u8 { println!(\"{}\", 0x1f); None } // end")
    kinds = page.locator("#ask .editor >> nth=0").evaluate(
        "box => [...box.querySelectorAll('span')].map(each => each.className + ' ' + each.textContent)"
    )
    assert kinds == ["keyword pub", "keyword fn", "function f", "lifetime 'a", "lifetime 'a", "type str", "type u8",
                     "macro println!", 'string "{}"', "number 0x1f", "type None", "comment // end"]  # fmt: skip


@in_browser
def test_everything_is_reached_and_named_by_keyboard(page: Page) -> None:
    named = "each => each.labels?.length || each.getAttribute('aria-label') || each.textContent.trim()"
    for control in page.locator("input, select, textarea, button").all():
        assert control.evaluate(named), control
    expect(page.locator("#prompt")).to_be_focused()
    page.check("input[name=verify][value=best_effort]", force=True)
    page.focus("#model")
    met = []
    for _ in range(25):
        met.append(page.evaluate("document.activeElement.id || document.activeElement.name || ''"))
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        inside = page.evaluate(
            "document.activeElement.matches('.choice input, .editor textarea')"
        )  # the ring is around
        assert ring != "none" or inside or met[-1] == "", met
        page.keyboard.press("Tab")
    assert {"model", "open-history", "mode", "prompt", "max_tokens", "temperature", "top_p", "seed", "verify",
            "candidates", "entry", "tests", "run", "curl", "result"} <= set(met)  # fmt: skip
    page.focus("input[name=mode][value=complete]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#suffix")).to_be_visible()
    page.focus("#prompt")
    page.fill("#prompt", "fn main() {")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#prompt")).to_have_value("fn main() {\n    ")


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_overflows_and_text_can_be_read(
    server: Running, visit: Callable[..., Page], width: int, scheme: str
) -> None:
    page = visit(server.url, viewport={"width": width, "height": 740}, color_scheme=scheme)
    page.check("input[name=mode][value=fill]", force=True)
    page.check("input[name=verify][value=best_effort]", force=True)
    page.fill("#suffix", "}" * 80)
    ask(page, f"pub fn one() -> bool {{ 1 }} // {'x' * 80}", max_tokens="4", candidates="1")
    expect(page.locator("#rendered")).to_contain_text("error")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for where in (
        "body",
        "#status",
        "#verdict-word",
        ".listing .keyword:not(.given), .listing .keyword",
        ".fields label",
    ):
        ink = page.locator(where).first.evaluate("each => getComputedStyle(each).color")
        paper = page.locator("#result").evaluate("each => getComputedStyle(each).backgroundColor")
        assert contrast(ink, paper) > 4.5, where


def contrast(*colors: str) -> float:
    """Of two `rgb(...)` colours, as WCAG 2 defines it."""
    lights = sorted(_luminance([int(part) / 255 for part in re.findall(r"\d+", color)[:3]]) for color in colors)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(rgb: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

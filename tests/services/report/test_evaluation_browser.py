"""The report's page in a real browser: filters, search, keys and links, from a file, without any network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from report_runs import TASKS, write_evaluation

from services.report.evaluation.report import write_evaluation_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: ./scripts/test.sh installs one where it may")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    for label in ("supervised", "rl"):
        write_evaluation(root, label)
    folder = root / "evaluation"
    return write_evaluation_report([folder / "supervised.json", folder / "rl.json"], root / "report")


@pytest.fixture(scope="module")
def opened(report: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
        page.goto(report.as_uri())
        yield page
        assert troubles == [], "a script failed, a model's text ran, or something was loaded"
        browser.close()


def shown(page: Page) -> int:
    return page.locator("#list li").count()


def test_keys_filter_by_what_became_of_a_task(opened: Page) -> None:
    counts = {"1": 2 * TASKS, "2": 12, "3": 2, "4": 2 * TASKS - 12 - 2 - 6, "5": 6}
    for key, count in counts.items():
        opened.keyboard.press(key)
        assert shown(opened) == count
        assert opened.locator("#filters button[aria-pressed=true]").count() == 1
    opened.keyboard.press("3")
    assert opened.locator("#task .badge.broken").inner_text() == "broken"


def test_j_and_k_walk_through_the_tasks(opened: Page) -> None:
    opened.keyboard.press("1")
    title = opened.locator("#task header b")
    first = title.inner_text()
    opened.keyboard.press("j")
    second = title.inner_text()
    assert second != first
    opened.keyboard.press("k")
    assert title.inner_text() == first
    opened.keyboard.press("k")
    assert title.inner_text() == first, "before the first there is none"


def test_search_finds_by_error_and_leaves_the_keys_alone(opened: Page) -> None:
    opened.keyboard.press("1")
    opened.keyboard.press("/")
    opened.keyboard.type("e0308 unseen_tasks_1")
    # Of the tasks called so, supervised does not compile 10 to 19.
    assert shown(opened) == 10
    opened.keyboard.type(" nothing is like this")
    assert shown(opened) == 0 and "No task is like that" in opened.locator("#task").inner_text()
    opened.locator("#search").fill("")
    opened.keyboard.press("Escape")
    assert shown(opened) == 2 * TASKS


def test_answers_stand_side_by_side_with_their_diagnostics_as_text(opened: Page) -> None:
    opened.keyboard.press("1")
    opened.locator("#list li", has_text="unseen_tasks_12").first.click()
    assert opened.locator("#task section").count() == 2
    text = opened.locator("#task").inner_text()
    assert "error[E0308]: expected `<T>`, found `&str`" in text and "alert('owned')" in text
    assert opened.locator("#task img").count() == 0


def test_a_link_opens_its_task(opened: Page, report: Path) -> None:
    opened.goto("about:blank")
    opened.goto(f"{report.as_uri()}#filter=fixed&task=unseen_families_7")
    assert opened.locator("#task header b").inner_text() == "unseen_families_7"
    assert shown(opened) == 12


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_text_can_be_read(opened: Page, width: int, scheme: str) -> None:
    opened.set_viewport_size({"width": width, "height": 900})
    opened.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = opened.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) > 7


def contrast(*colors: str) -> float:
    """Of two `rgb(...)` colours, as WCAG 2 defines it."""
    lights = sorted(_luminance([int(part) / 255 for part in color[4:-1].split(",")]) for color in colors)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(rgb: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

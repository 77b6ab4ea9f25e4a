"""The pages of the server as people meet them: in a browser, by keyboard, at 390 pixels, in the dark.

Needs playwright and a Chromium at /usr/bin/chromium (apt install chromium). Where they are not there the tests fail and
are not skipped: a page that nobody has looked at is not known to work.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.serving import Running, write_models

pytestmark = pytest.mark.slow

CHROMIUM = "/usr/bin/chromium"
TEXT = "the small red fox sees a tree"
SENTENCE = "the old man walks home over the green hill and sleeps"
ASTRAL = "\U0001f98a"  # one code point, two UTF-16 units

LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parse(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parse(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const says = (one) => [...one.childNodes].some((part) => part.nodeType === 3 && part.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && says(one))
    .filter((one) => !one.closest("script, style, svg, .skip"))
    .map((one) => {
      const [dark, bright] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
      return [(bright + 0.05) / (dark + 0.05), one.outerHTML.slice(0, 90)];
    });
}"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: dict[str, Path]) -> Iterator[Running]:
    with Running({**models, "again": models["fill"]}, "--workers", "1", "--engine", "torch") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def page(server: Running, browser: Browser) -> Iterator[Page]:
    """Return the page, wide and light; what the browser complains of fails the test."""
    yield from opened(browser, server.url)


def opened(browser: Browser, url: str, **how: Any) -> Iterator[Page]:
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **how})
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    refused = [one for one in complaints if "status of 4" not in one]  # a refusal that a test has asked for
    assert refused == []


def choose(page: Page, model: str, task: str) -> None:
    page.get_by_label("Model", exact=True).select_option(model)
    page.get_by_label("Task", exact=True).select_option(task)


def ask(page: Page, model: str, task: str, first: str, second: str | None = None) -> str:
    """Ask, and return what is said to those who listen."""
    choose(page, model, task)
    page.locator("#first").fill(first)
    if second is not None:
        page.locator("#second").fill(second)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Answered in")
    return page.get_by_role("status").inner_text()


def test_masks_are_filled_and_fills_are_put_in(page: Page, server: Running) -> None:
    text = f"{ASTRAL} the small [MASK] fox sees a [MASK]"
    assert "Likeliest" in ask(page, "fill", "fill", text)
    answer = page.get_by_role("group", name="Answer")
    assert answer.get_by_role("button").count() == 10
    first, second = server.post("/fill", {"model": "fill", "inputs": text})[1]
    words = [one["token_str"].removeprefix("##") for one in (first[1], second[0])]
    answer.get_by_role("list").nth(0).get_by_role("button").nth(1).click()
    answer.get_by_role("list").nth(1).get_by_role("button").nth(0).click()
    field = page.get_by_label("Text with the mask")
    expect(field).to_have_value(f"{ASTRAL} the small {words[0]} fox sees a {words[1]}")
    expect(page.get_by_role("status")).to_contain_text("The text is now")
    chosen = answer.get_by_role("list").nth(0).get_by_role("button").nth(1)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    chosen.click()
    expect(field).to_have_value(f"{ASTRAL} the small [MASK] fox sees a {words[1]}")
    field.press_sequentially("!")
    expect(chosen).to_be_disabled()


def test_the_form_is_used_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_label("Model", exact=True).focus()
    page.keyboard.press("f")
    for label in ("Task", "Text with the mask"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(label, exact=True)).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("a ")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Put in [MASK]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Text with the mask")).to_have_value("a [MASK]")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("Answered in")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The text is now: a ")


def test_entities_and_answers_are_marked_at_their_code_points(page: Page, server: Running) -> None:
    text = f"{ASTRAL * 3} {SENTENCE}"
    ask(page, "tag", "tag", text)
    found = server.post("/tag", {"model": "tag", "inputs": text})[1]
    assert found
    marks = page.locator("#answer mark").evaluate_all("found => found.map((one) => one.firstChild.data)")
    assert marks == [text[one["start"] : one["end"]] for one in sorted(found, key=lambda one: one["start"])]
    asked = {"question": "who walks ?", "context": text}
    answer = server.post("/answer", {"model": "answer", "inputs": asked})[1]
    said = ask(page, "answer", "answer", asked["question"], text)
    if answer["end"] > answer["start"]:
        assert page.locator("#answer mark").evaluate("one => one.firstChild.data") == answer["answer"]
    else:
        assert "no answer" in said


def test_the_other_tasks_are_shown(page: Page, server: Running) -> None:
    best = server.post("/classify", {"model": "classify", "inputs": TEXT})[1][0][0]
    assert f"{100 * best['score']:.1f} %" in ask(page, "classify", "classify", TEXT)
    cosine = server.post(
        "/similarity", {"model": "embed", "inputs": {"source_sentence": TEXT, "sentences": [SENTENCE]}}
    )
    assert f"{cosine[1][0]:.3f}" in ask(page, "embed", "similarity", TEXT, SENTENCE)
    assert "48 numbers" in ask(page, "embed", "embed", TEXT)
    assert "bits per character" in ask(page, "fill", "score", TEXT)
    tokens = server.post("/tokenize", {"model": "fill", "inputs": TEXT})[1]
    assert f"{len(tokens['ids'])} tokens" in ask(page, "fill", "tokenize", TEXT)
    chips = page.locator("#answer li").evaluate_all("found => found.map((one) => one.firstChild.data)")
    assert chips == [TEXT[start:end] for start, end in tokens["offsets"]]


def test_refusals_are_said_in_words(page: Page) -> None:
    choose(page, "fill", "fill")
    page.locator("#first").fill("nothing is hidden <img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("A text has no [MASK]")
    expect(page.get_by_role("alert")).to_contain_text("(422 invalid)")
    page.locator("#first").fill("the [MASK] <img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Answered in")
    expect(page.get_by_role("alert")).to_be_empty()


def test_load_is_seen_as_it_comes(page: Page, server: Running) -> None:
    expect(page.locator("#workers")).to_have_text("1")
    for _ in range(20):
        server.post("/fill", {"model": "fill", "inputs": "a [MASK]"})
    server.post("/fill", {"model": "fill", "inputs": "a"})
    expect(page.locator("#rate")).not_to_have_text("0.0", timeout=5000)
    expect(page.locator("#refused")).to_have_text("1")
    expect(page.locator("#refused-hint")).to_have_text("422: 1")
    assert float(page.locator("#median").inner_text()) <= float(page.locator("#slow").inner_text())
    page.get_by_text("Every figure").click()
    expect(page.get_by_text("unmask_ready_workers")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/docs"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_is_read_on_a_telephone_and_in_the_dark(
    path: str, scheme: Any, width: int, browser: Browser, server: Running
) -> None:
    for page in opened(
        browser, server.url + path, color_scheme=scheme, viewport={"width": width, "height": 844}, has_touch=width < 500
    ):
        if path == "/":
            ask(page, "fill", "fill", "the small [MASK] fox sees a tree")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = page.evaluate(CONTRAST)
        assert len(found) > 20
        assert [one for one in found if one[0] < LEAST_CONTRAST] == []
        names = page.evaluate(
            "[...document.querySelectorAll('input, select, textarea')].map((one) => one.labels.length)"
        )
        assert all(names)


def test_a_key_is_asked_for_where_there_are_keys(models: dict[str, Path], tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "keys").write_text("sesame\n", encoding="utf-8")
    with Running({"fill": models["fill"]}, "--workers", "1", "--api-keys", str(tmp_path / "keys")) as server:
        for page in opened(browser, server.url):
            assert page.get_by_label("API key of this server").is_hidden()
            page.get_by_role("button", name="Ask", exact=True).click()
            expect(page.get_by_role("alert")).to_contain_text("401")
            expect(page.get_by_label("API key of this server")).to_be_focused()
            page.keyboard.type("sesame")
            page.keyboard.press("Enter")
            expect(page.get_by_role("status")).to_contain_text("Answered in")


def test_no_script_but_ours_runs_and_nobody_else_is_asked(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    page.goto(server.url)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.stranger = true";
        document.body.append(script);
    }""")
    assert page.evaluate("window.stranger") is None
    refused = page.evaluate("""() => new Promise((tell) => {
        addEventListener("securitypolicyviolation", (event) => tell(event.violatedDirective));
        fetch("http://127.0.0.1:9/").catch(() => setTimeout(tell, 1000, "not by the policy"));
    })""")
    assert refused == "connect-src"
    page.close()


def test_every_curl_of_the_manual_works(server: Running) -> None:
    manual = server.get("/docs")[1]
    commands = [unescape(one) for one in re.findall(r"<code>(curl .*?)</code>", manual, re.DOTALL)]
    assert len(commands) == 11  # one to look, eight tasks, one by the model's name, one as OpenAI asks
    for command in commands:
        words = [*shlex.split(command.replace("\\\n", "")), "-sS", "-w", "\n%{http_code}"]
        body, _, code = subprocess.run(words, check=True, capture_output=True, text=True).stdout.rpartition("\n")
        assert code == "200", (command, body)
        json.loads(body)
    routes = server.get("/openapi.json")[1]["paths"]
    assert set(re.findall(r">POST (\S+)</h2>", manual)) == {path for path, one in routes.items() if "post" in one}

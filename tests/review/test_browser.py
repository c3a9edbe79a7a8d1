"""The review page in a real browser: keys, type-ahead, what a browser lets a page do, and how it
looks at any size."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_playwright_python
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.deployment import until
from support.review_page import (
    BERKELEY,
    CAIRO,
    HOSTILE,
    JERUSALEM,
    KELMAR,
    LBNL,
    MIT,
    OTHER_KELMAR,
    STREET,
    TOKYO,
    TWO,
    USER_HEADER,
    YORK,
    fill,
    id_of,
    rows,
)
from support.serving import command, free_port

from resolver.database.connection import connect
from resolver.settings import Settings

pytestmark = pytest.mark.slow

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

ARGUMENTS = [
    # Containers run as root, and have a small /dev/shm.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        reason = "no Chromium: apt-get install chromium fonts-noto-cjk fonts-noto-core"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, anonymous: httpx.Client) -> Iterator[Opened]:
    """Opens a path as a person; the test fails for anything that a page puts into the console."""
    contexts, problems = [], []

    def open_page(path: str = "/", name: str = "Ada", width: int = 1280, **options: object) -> Page:
        context = browser.new_context(
            base_url=str(anonymous.base_url),
            viewport={"width": width, "height": 800},
            extra_http_headers={USER_HEADER: name},
            **options,  # type: ignore[arg-type]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on(
            "console",
            lambda message: (
                problems.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.goto(path)
        return page

    open_page.problems = problems  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def open_text(opened: Opened, engine: Engine) -> Callable[..., Page]:
    def open_item(affiliation: str, **options: object) -> Page:
        page = opened(f"/item/{id_of(engine, affiliation)}", **options)
        expect(page.locator("#string")).to_be_focused()
        return page

    return open_item


def press(page: Page, *keys: str) -> None:
    """Press keys of which the last leads to another string."""
    before = page.get_attribute("#item", "action")
    for key in keys:
        page.keyboard.press(key)
    expect(page.locator("#item")).not_to_have_attribute("action", before or "")
    expect(page.locator("#string")).to_be_focused()


def string_of(page: Page) -> str:
    """The string without the numbers of the candidates in it."""
    return "".join(page.locator("#string .p").all_text_contents())


def ticked(page: Page) -> list[str]:
    boxes = page.locator("input[name=ror_id]:checked")
    return sorted(str(boxes.nth(i).get_attribute("value")) for i in range(boxes.count()))


def links(engine: Engine, affiliation: str) -> set[str]:
    found = rows(
        engine, "SELECT ror_id FROM link WHERE affiliation_id = :id", id=id_of(engine, affiliation)
    )
    return {row.ror_id for row in found}


def test_change_and_undo_by_keys_alone(opened: Opened, engine: Engine) -> None:
    page = opened("/")
    page.keyboard.press("Enter")
    expect(page.locator("#string")).to_be_focused()
    page.goto(f"/item/{id_of(engine, TWO)}")
    expect(page.locator("#string")).to_be_focused()
    expect(page.locator("#save-words")).to_have_text("Confirm")
    page.keyboard.press("2")
    expect(page.locator("#save-words")).to_have_text("Save this one")
    kept = ticked(page)
    press(page, "Enter")
    expect(page.locator(".saved")).to_contain_text("changed to 1 organisation, 1 taken away")
    expect(page.locator(".saved .became")).to_have_text("applied")
    assert links(engine, TWO) == set(kept)
    press(page, "z")
    assert ticked(page) == kept
    expect(page.locator("#message")).to_contain_text("Undone")
    until(lambda: links(engine, TWO) == {BERKELEY, LBNL}, "the answer is as before")
    [decision] = rows(engine, "SELECT author, ended_by_author FROM review_decision")
    assert tuple(decision) == ("Ada", "Ada")


def test_a_working_session_by_keys_and_undo_of_five(opened: Opened, engine: Engine) -> None:
    page = opened("/next")
    strings = []
    for _ in range(8):
        strings.append(page.locator("#string").inner_text())
        press(page, "Enter" if page.is_enabled("#save") else "n")
    assert len(set(strings)) == 8
    assert len(rows(engine, "SELECT 1 FROM review_decision WHERE ended_at IS NULL")) == 8
    back = []
    for _ in range(5):
        press(page, "z")
        back.append(page.locator("#string").inner_text())
    assert back == strings[:2:-1]
    assert len(rows(engine, "SELECT 1 FROM review_decision WHERE ended_at IS NULL")) == 3
    assert len(rows(engine, "SELECT 1 FROM review_decision")) == 8


def test_type_ahead(open_text: Callable[..., Page], engine: Engine) -> None:
    page = open_text(STREET)
    page.keyboard.press("/")
    page.keyboard.type("univ york", delay=20)
    option = page.locator("#found [role=option]").first
    expect(option).to_have_attribute("data-name", "University of York")
    expect(page.locator("#find")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#find")).to_have_attribute("aria-activedescendant", "f0")
    page.keyboard.press("Enter")
    assert ticked(page) == [YORK]
    expect(page.locator("#save-words")).to_have_text("Save this one")
    page.keyboard.press("/")
    page.keyboard.type("qqzzxx")
    expect(page.locator("#found")).to_contain_text("No organisation has a name")
    page.keyboard.press("Escape")
    expect(page.locator("#string")).to_be_focused()
    press(page, "Enter")
    until(lambda: links(engine, STREET) == {YORK}, "the organisation is linked")


def test_the_filter_finds_an_organisation_by_name(opened: Opened) -> None:
    page = opened("/")
    page.click("summary")
    page.locator("#find").press_sequentially("univ york", delay=20)
    expect(page.locator("#found [role=option]").first).to_have_attribute("data-id", YORK)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**ror_id={YORK}*")
    expect(page.locator("summary")).to_contain_text("University of York")
    expect(page.locator(".queue")).not_to_contain_text("Berkeley")
    page.fill("#find", "")
    page.click(".filters button")
    expect(page.locator(".queue")).to_contain_text("Berkeley")


def test_similar_strings_and_the_registry_lacks_it(
    open_text: Callable[..., Page], engine: Engine
) -> None:
    page = open_text(KELMAR)
    expect(page.locator("#also-count")).to_have_text("none")
    page.keyboard.press("s")
    expect(page.locator("#also-count")).to_have_text("1 (10 records)")
    page.keyboard.press("m")
    page.keyboard.press("Tab")
    page.keyboard.type("https://kelmar.example")
    press(page, "Enter")
    made = rows(engine, "SELECT affiliation, action, batch FROM review_decision")
    assert {row.affiliation for row in made} == {KELMAR, OTHER_KELMAR}
    assert len({row.batch for row in made}) == 1
    press(page, "z")
    assert not rows(engine, "SELECT 1 FROM review_decision WHERE ended_at IS NULL")


def test_unsure_with_a_note(open_text: Callable[..., Page], engine: Engine) -> None:
    page = open_text(STREET)
    page.keyboard.press("u")
    page.keyboard.type("which of the two?")
    press(page, "Enter")
    [decision] = rows(engine, "SELECT action, note FROM review_decision")
    assert tuple(decision) == ("unsure", "which of the two?")


def test_keys_are_silent_in_fields_and_can_be_switched_off(
    open_text: Callable[..., Page], engine: Engine
) -> None:
    page = open_text(TWO)
    here = page.get_attribute("#item", "action")
    page.focus("#note")
    page.keyboard.type("n.z 1?")
    assert page.input_value("#note") == "n.z 1?"
    page.locator("#string").focus()
    # As an input method sends what is being composed.
    page.evaluate(
        "() => document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'n', isComposing: true, bubbles: true}))"
    )
    page.keyboard.press("Control+n")
    page.keyboard.press("?")
    page.uncheck("#keys-on")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.reload()
    page.locator("#string").focus()
    page.keyboard.press("n")
    page.wait_for_timeout(300)
    assert page.get_attribute("#item", "action") == here
    assert not rows(engine, "SELECT 1 FROM review_decision")


def test_without_javascript(open_text: Callable[..., Page], engine: Engine, opened: Opened) -> None:
    page = opened(f"/item/{id_of(engine, TWO)}", java_script_enabled=False)
    page.fill("#find", f"https://ror.org/{MIT}")
    page.click("#save")
    [decision] = rows(engine, "SELECT id, action, ror_ids FROM review_decision")
    assert decision.action == "change"
    assert set(decision.ror_ids) == {BERKELEY, LBNL, MIT}
    page.click("#undo")
    assert ticked(page) == sorted(decision.ror_ids)
    page.click("#none")
    assert rows(engine, "SELECT action FROM review_decision ORDER BY id DESC")[0].action == "none"


def test_two_people_at_once(opened: Opened, engine: Engine) -> None:
    ada, grace = opened("/next"), opened("/next", "Grace")
    seen = []
    for _ in range(3):
        for page in (ada, grace):
            seen.append(page.locator("#string").inner_text())
            press(page, "n")
    assert len(set(seen)) == 6
    grace.goto(ada.url)
    expect(grace.locator("#message")).to_contain_text("Ada has this string now")
    expect(grace.locator("#none")).to_be_disabled()
    assert len(rows(engine, "SELECT 1 FROM review_decision")) == 6


def test_a_key_held_down_saves_once(open_text: Callable[..., Page], engine: Engine) -> None:
    page = open_text(TWO)
    page.evaluate(
        "() => { for (let i = 0; i < 5; i++) document.activeElement.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', repeat: i > 0, bubbles: true, cancelable: true})) }"
    )
    expect(page.locator(".saved")).to_be_visible()
    assert len(rows(engine, "SELECT 1 FROM review_decision")) == 1


def test_foreign_text_runs_nothing(open_text: Callable[..., Page], opened: Opened) -> None:
    page = open_text(HOSTILE)
    assert string_of(page) == HOSTILE
    page.mouse.move(200, 140)
    opened("/?words=%22%3E%3Cscript%3Ealert(3)%3C/script%3E")
    opened("/find?q=%3Cimg+src=x+onerror=alert(4)%3E")


def test_code_within_a_page_cannot_run(opened: Opened) -> None:
    page = opened("/")
    page.evaluate(
        """() => {
            const box = document.createElement("div");
            box.innerHTML = '<img src="/static/none.png" onerror="window.ran = 1">';
            const script = document.createElement("script");
            script.textContent = "window.ran = 2";
            document.body.append(box, script);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.ran") is None
    problems = opened.problems  # type: ignore[attr-defined]
    assert any("Content Security Policy" in problem for problem in problems)
    problems.clear()


STATES = {
    "queue": ("/", []),
    "an organisation to choose": ("/?organisation=york", []),
    "string": (TWO, []),
    "nothing ticked": (TWO, ["1", "2"]),
    "search": (STREET, ["/", *"oxford"]),
    "keys": (TWO, ["?"]),
    "missing": (KELMAR, ["m"]),
    "state": ("/state", []),
    "history": ("/history?all=1", []),
    "requests": ("/lacking", []),
    "guide": ("/guide", []),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_nothing_keeps_people_from_using_it(
    opened: Opened, open_text: Callable[..., Page], scheme: str, state: str
) -> None:
    where, keys = STATES[state]
    page = (opened if where.startswith("/") else open_text)(where, color_scheme=scheme)
    for key in keys:
        page.keyboard.press(key)
    if state == "search":
        expect(page.locator("#found [role=option]").first).to_be_visible()
    page.evaluate(AXE)
    report = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert [
        (violation["id"], node["target"], node["failureSummary"])
        for violation in report["violations"]
        for node in violation["nodes"]
    ] == []


@pytest.mark.parametrize("width", [320, 390, 640, 1920])
@pytest.mark.parametrize(
    "where", ["/", TWO, TOKYO, CAIRO, "/state", "/history?all=1", "/lacking", "/guide"]
)
def test_nothing_scrolls_sideways(
    opened: Opened, open_text: Callable[..., Page], where: str, width: int
) -> None:
    page = (opened if where.startswith("/") else open_text)(where, width=width)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for button in page.locator(".bar > button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize(("width", "records"), [(390, "1 record"), (1280, "1")])
def test_small_screens_have_no_head_and_name_what_is_counted(
    opened: Opened, width: int, records: str
) -> None:
    row = opened("/?words=physics&reason=department_only", width=width).locator(".queue tbody tr")
    assert row.locator("td.num").inner_text() == records
    # Nothing is put behind the probabilities.
    style = "e => getComputedStyle(e, '::after').content"
    numbers = opened("/", width=width).locator(".queue .sure .num")
    assert numbers.count()
    assert numbers.first.evaluate(style) == "none"


@pytest.mark.parametrize(
    ("affiliation", "direction"),
    [(TOKYO, "ltr"), (CAIRO, "rtl"), (JERUSALEM, "rtl"), (TWO, "ltr")],
)
def test_scripts_of_the_world(
    open_text: Callable[..., Page], affiliation: str, direction: str
) -> None:
    page = open_text(affiliation)
    string = page.locator("#string")
    assert string_of(page) == affiliation
    assert string.evaluate("e => getComputedStyle(e).direction") == direction


# A server of its own, which is killed


@pytest.fixture
def own_settings(
    tmp_path: Path, database_url: str, sample_installed: Callable[[Path], None]
) -> Settings:
    sample_installed(tmp_path / "home")
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=tmp_path / "home", database_url=SecretStr(database_url), threads=1
    )
    fill(settings)
    return settings


def test_a_server_that_is_killed_while_it_saves_loses_and_doubles_nothing(
    browser: Browser, own_settings: Settings, database_url: str, tmp_path: Path
) -> None:
    environment = {
        "RESOLVER_DATABASE_URL": database_url,
        "RESOLVER_THREADS": "1",
    }
    engine = connect(database_url)
    port = free_port()

    def server() -> object:
        return command(
            own_settings.home,
            "--author",
            "Ada",
            environment=environment,
            log=tmp_path / "log",
            name="review",
            port=port,
        )

    page = browser.new_page(base_url=f"http://127.0.0.1:{port}")
    with server() as (process, _url):  # type: ignore[attr-defined]
        page.goto("/next")
        string = page.locator("#string").inner_text()
        # The save waits for this lock, and is killed there.
        with engine.connect() as connection:
            connection.execute(text("LOCK TABLE review_decision IN ACCESS EXCLUSIVE MODE"))
            page.keyboard.press("n")
            until(lambda: _waits(engine), "the save waits for the lock")
            process.send_signal(signal.SIGKILL)
            process.wait()
            connection.rollback()
    expect(page.locator("#message")).to_contain_text("press again in a moment")
    assert not rows(engine, "SELECT 1 FROM review_decision")
    assert page.locator("#string").inner_text() == string
    with server():  # type: ignore[attr-defined]
        press(page, "n")
        assert len(rows(engine, "SELECT 1 FROM review_decision")) == 1
        assert len(rows(engine, "SELECT 1 FROM link_override WHERE ended_at IS NULL")) == 1
    page.close()
    engine.dispose()


def _waits(engine: Engine) -> bool:
    return bool(
        rows(
            engine,
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database() AND query ILIKE '%review_decision%'",
        )
    )

"""How long a person waits on the review page: from a key to the next string, and for type-ahead.

    resolver review --port 8080 --author benchmark &
    python -m benchmarks.review_page http://127.0.0.1:8080

It decides about strings in a real Chromium by keys alone (the links are confirmed; strings without
any name none), and undoes all of it in the end. Milliseconds are those in the page, from the event
of the key until the next string has the focus.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from collections.abc import Sequence

from playwright.sync_api import Page, sync_playwright

PAUSE = 900
"""Milliseconds between two decisions: nobody reads a string in less."""

TYPED = (
    "un", "univ", "univ york", "cnrs", "mit", "insti na", "max planck phys", "04m01e293", "zürich",
    "東京", "東京大学", "القاهرة", "московск",
)  # fmt: skip

WATCH = """() => {
    window.waited = [];
    let pressed = 0;
    document.addEventListener("keydown", event => {
        if (["Enter", "n", "z"].includes(event.key)) pressed = performance.now();
    }, true);
    document.addEventListener("focusin", event => {
        if (event.target.id === "string" && pressed) {
            window.waited.push(performance.now() - pressed);
            pressed = 0;
        }
    });
}"""

FIND = """async typed => {
    const begun = performance.now();
    await (await fetch("/find?part=1&q=" + encodeURIComponent(typed))).text();
    return performance.now() - begun;
}"""

SHOWN = """was => document.querySelector("#item")?.getAttribute("action") !== was
    && document.activeElement?.id === "string" """


def press(page: Page, key: str) -> None:
    before = page.get_attribute("#item", "action")
    page.keyboard.press(key)
    page.wait_for_function(SHOWN, arg=before, polling=5)
    page.wait_for_timeout(PAUSE)


def in_words(milliseconds: Sequence[float]) -> str:
    ordered = sorted(milliseconds)
    ninth = ordered[int(len(ordered) * 0.9)]
    return (
        f"median {statistics.median(ordered):.0f} ms, p90 {ninth:.0f}, most {ordered[-1]:.0f}, "
        f"of {len(ordered)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a person waits on the review page.")
    parser.add_argument("url", help="address of the page, served for this alone")
    parser.add_argument("--decisions", type=int, default=25)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        page = browser.new_page(base_url=arguments.url, viewport={"width": 1280, "height": 800})
        page.goto("/next")
        page.wait_for_selector("#item")
        page.evaluate(WATCH)
        page.wait_for_timeout(2 * PAUSE)
        for _ in range(arguments.decisions):
            press(page, "Enter" if page.is_enabled("#save") else "n")
        print("key to next string:", in_words(page.evaluate("() => window.waited")))
        print("type-ahead:", in_words([page.evaluate(FIND, typed) for typed in TYPED]))
        for _ in range(arguments.decisions):
            press(page, "z")
        browser.close()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()

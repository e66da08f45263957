"""`make pictures`: takes docs/console.md's pictures of the console, from `streamrec demo`.

They go to build/pictures/, to be looked at and copied to docs/pictures/.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.end_to_end.commands import Command

OUT = Path(__file__).resolve().parents[2] / "build" / "pictures"
DESK, PHONE = {"width": 1180, "height": 640}, {"width": 390, "height": 844}
SECONDS, READY_SECONDS = 60, 400.0
FILTER = 'not (title contains "drink")'
PEOPLE = 10
GLIDE_MS = 800


def main() -> None:
    """Replay some shopping, then click, and try a filter."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium on PATH: install the package chromium")
    OUT.mkdir(parents=True, exist_ok=True)
    demo = Command(
        Path(tempfile.mkdtemp(prefix="streamrec-pictures-")),
        "demo", "--seconds", str(SECONDS), "--keep",
    )  # fmt: skip
    try:
        demo.wait_for("is being served now", READY_SECONDS)
        page = re.search(r"http://\S+/console", demo.output.read_text())
        if page is None:
            sys.exit("the demonstration has no console: pip install 'streamrec[serve]'")
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            clicked(browser, page[0], DESK, "light", "console")
            filtered(browser, page[0])
            clicked(browser, page[0], PHONE, "dark", "console-phone")
    finally:
        demo.kill()
    print(f"pictures in {OUT}: look at them, then copy them to docs/pictures")


def opened(browser: Any, address: str, size: dict[str, int], scheme: str, who: int = 2) -> Any:
    """Return the page of someone who did something lately, with all of its parts."""
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(address)
    page.wait_for_selector(f"#person option:nth-child({PEOPLE})", state="attached")
    user = page.locator("#person option").nth(who).get_attribute("value")
    page.select_option("#person", user)
    page.wait_for_selector(f"#list-head:text-is('The list of {user}')")
    page.wait_for_selector("#shares li")
    page.wait_for_selector("#recall li")
    return page


def clicked(browser: Any, address: str, size: dict[str, int], scheme: str, name: str) -> None:
    """Take the picture of a list after a click."""
    page = opened(browser, address, size, scheme)
    page.locator("#list .take").nth(4).click()
    page.wait_for_selector("#spent small")
    taken(page, name)


def filtered(browser: Any, address: str) -> None:
    """Take the picture of what a filter removes, and of what comes in."""
    for who in range(PEOPLE):  # not everybody's list has two such items
        page = opened(browser, address, DESK, "light", who)
        page.fill("#rule", FILTER)
        page.wait_for_selector("#filtered:has-text('items pass')")
        if page.locator("#list .removed").count() > 1:
            page.evaluate("document.getElementById('filter-head').scrollIntoView()")
            page.evaluate("scrollBy(0, -16)")
            taken(page, "console-filter")
            return
        page.close()
    sys.exit(f"nobody's list has two items that are not there under {FILTER}")


def taken(page: Any, name: str) -> None:
    """Write the picture when the rows have come to rest."""
    page.wait_for_timeout(GLIDE_MS)
    page.screenshot(path=OUT / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()

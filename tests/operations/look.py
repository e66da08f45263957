"""`make look`: draws the dashboards from a real installation under load, to be looked at.

Grafana's own components draw them in Chromium (tools/look, npm); the pictures go to build/look/.
"""

import functools
import http.server
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from watched import ROOT, Watched

OUT = ROOT / "build" / "look"
PAGE = ROOT / "build" / "look-page"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RULES = ROOT / "deploy" / "prometheus" / "streamrec.rules.yml"
WIDTHS = (1500, 800)
UNIT, ABOVE = 38, 90
"""Height of a unit of Grafana's grid, and of what is above the panels, in pixels."""
MINUTES = 4.0
DRAWN_MS = 5000
"""Charts are painted some frames after their data has come."""
ALL_READY = "() => !document.querySelector('[data-panel][data-ready=\"0\"]')"
FAULTS = """() => [...document.querySelectorAll('[data-panel]')].filter(
  (one) => one.dataset.error || one.querySelector('[data-empty], [data-unknown]')
).map((one) => `${one.dataset.panel}: ${one.dataset.error || 'empty'};`)"""

CUT = """() => [...document.querySelectorAll('[data-panel] *')].filter(
  (one) => one.scrollWidth > one.clientWidth + 1
    && getComputedStyle(one).textOverflow === 'ellipsis'
).map((one) => `${one.closest('[data-panel]').dataset.panel}: cut: ${one.textContent};`)"""
"""What ends in three dots: a title, or a name in a legend."""
HIDDEN = """() => [...document.querySelectorAll('[data-panel] *')].filter(
  (one) => one.scrollHeight > one.clientHeight + 2 && !/grid/.test(one.getAttribute('role'))
    && ['auto', 'scroll'].includes(getComputedStyle(one).overflowY)
    || one.scrollWidth > one.clientWidth + 2
    && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX)
).map((one) => one.closest('[data-panel]').dataset.panel)"""
"""Panels whose legend must be scrolled, or whose table sideways; down, a table may have to be."""


def main() -> None:
    """Run the installation for some minutes, with faults in it, then draw each board."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium on PATH")
    OUT.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    site = Watched(Path(tempfile.mkdtemp(prefix="streamrec-look-")), RULES)
    server = serve()
    try:
        time.sleep(30 * MINUTES)
        site.redis.kill()
        time.sleep(3.0)
        site.redis.start()
        time.sleep(30 * MINUTES)
        faults = draw(f"http://127.0.0.1:{server.server_port}", site.prometheus.url, chromium)
    finally:
        server.shutdown()
        site.close()
    if faults:
        sys.exit(f"{len(faults)} faults, above")


def draw(pages: str, prometheus: str, chromium: str) -> list[str]:
    """Take a picture of each board at each width; return what is empty, failed or cut off."""
    faults: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for board in sorted(DASHBOARDS.glob("*.json")):
            shutil.copy(board, PAGE / board.name)
            for width in WIDTHS:
                page = browser.new_page(viewport={"width": width, "height": height_of(board)})
                asked = f"file={board.name}&prometheus={prometheus}&minutes={MINUTES}&step=2"
                page.goto(f"{pages}/index.html?{asked}")
                page.wait_for_selector("[data-panel]", timeout=60_000)
                page.wait_for_function(ALL_READY, timeout=120_000)
                page.wait_for_timeout(DRAWN_MS)
                picture = OUT / f"{board.stem}-{width}.png"
                page.screenshot(path=picture)
                found = page.evaluate(FAULTS) + page.evaluate(CUT)
                hidden = set(page.evaluate(HIDDEN))
                found += [f"{title}: must be scrolled" for title in sorted(hidden)]
                print(picture, *found, sep="\n  ")
                faults += found
                page.close()
        browser.close()
    return faults


def height_of(board: Path) -> int:
    """Return how high a window must be to show all of a board, in pixels."""
    places = [panel["gridPos"] for panel in json.loads(board.read_text())["panels"]]
    return ABOVE + UNIT * max(int(place["y"]) + int(place["h"]) for place in places)


def serve() -> http.server.ThreadingHTTPServer:
    """Serve the built page on a free port of the loopback address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the console for the pictures' names."""

    handler = functools.partial(Quiet, directory=str(PAGE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    main()

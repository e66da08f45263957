"""`make look`: draws the dashboards from a real installation under load, to be looked at.

Grafana's own components draw them in Chromium (tools/look, npm); the pictures go to build/look/.
"""

import functools
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from watched import ROOT, Watched

OUT = ROOT / "build" / "look"
PAGE = ROOT / "build" / "look-page"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RULES = ROOT / "deploy" / "prometheus" / "streamrec.rules.yml"
WIDTHS = (1500, 800)
UNIT, ABOVE = 38, 90
"""Height of a unit of Grafana's grid, and of what is above the panels, in pixels."""
MINUTES = 4.0


def main() -> None:
    """Run the installation for some minutes, with faults in it, then draw each board."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium on PATH")
    OUT.mkdir(parents=True, exist_ok=True)
    site = Watched(Path(tempfile.mkdtemp(prefix="streamrec-look-")), RULES)
    server = serve()
    try:
        time.sleep(30 * MINUTES)
        site.redis.kill()
        time.sleep(3.0)
        site.redis.start()
        time.sleep(30 * MINUTES)
        for board in sorted(DASHBOARDS.glob("*.json")):
            shutil.copy(board, PAGE / board.name)
            for width in WIDTHS:
                picture = OUT / f"{board.stem}-{width}.png"
                page = f"http://127.0.0.1:{server.server_port}/index.html?file={board.name}"
                page += f"&prometheus={site.prometheus.url}&minutes={MINUTES}&step=2"
                options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
                options += [
                    f"--window-size={width},{height_of(board)}",
                    "--virtual-time-budget=30000",
                ]
                subprocess.run(
                    [chromium, *options, f"--screenshot={picture}", page],
                    check=True,
                    capture_output=True,
                    timeout=180,
                )
                print(picture)
    finally:
        server.shutdown()
        site.close()


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

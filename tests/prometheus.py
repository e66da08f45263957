"""A real Prometheus for the tests, and its promtool: the Debian package, or what is on PATH."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from servers import Unavailable

from streamrec.local.child import ChildProcess, free_port

INSTALL = "apt-get install --no-install-recommends prometheus"


class Prometheus:
    """Scrapes what a `file_sd` file names once a second, and evaluates rules."""

    def __init__(self, folder: Path, targets: Path, rules: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = folder / "prometheus.yml"
        settings.write_text(
            json.dumps(  # which YAML reads
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)] if rules else [],
                    "scrape_configs": [
                        {
                            "job_name": "streamrec",
                            "file_sd_configs": [
                                {"files": [str(targets)], "refresh_interval": "1s"}
                            ],
                        }
                    ],
                }
            )
        )
        command = [program("prometheus"), f"--config.file={settings}", "--log.level=warn"]
        command += [f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--web.cors.origin=.*"]
        self._child = ChildProcess(command, self._ready, log=folder / "prometheus.log")

    def start(self) -> "Prometheus":
        self._child.start()
        return self

    def stop(self) -> None:
        self._child.stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; raises ValueError with Prometheus' own words."""
        return list(self._get("query", query=expression)["result"])

    def number(self, expression: str) -> float:
        """Return the one value of an expression; NaN when there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else float("nan")

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def rules(self) -> list[dict[str, Any]]:
        """Return the groups of rules with what each rule's last evaluation said."""
        return list(self._get("rules")["groups"])

    def _get(self, path: str, **arguments: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                return True
        except OSError:
            return False


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; raises Unavailable without one."""
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def program(name: str) -> str:
    """Return where a program is; raises Unavailable."""
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"no {name} on PATH: {INSTALL}")
    return found

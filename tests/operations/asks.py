"""Callers of `serve`: lists, events and faults of theirs, some each second."""

import json
import random
import threading
import urllib.error
import urllib.request
from typing import Any

TURN_SECONDS = 0.2


class Asks:
    """Asks until `stop`; `accepted` events were acknowledged."""

    def __init__(self, address: str) -> None:
        self._address, self._dice = address, random.Random(2)
        self._stop = threading.Event()
        self.accepted = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(TURN_SECONDS):
            user = f"u{self._dice.randrange(200)}"
            self._ask(f"/v1/users/{user}/lists/home")
            self._ask("/v1/popular")
            self._ask("/v1/nowhere")
            event = {"user": user, "item": f"i{self._dice.randrange(120)}", "type": "click"}
            self.accepted += self._ask("/v1/events", [event, {"user": user}]).get("accepted", 0)

    def _ask(self, path: str, body: Any = None) -> Any:
        """Return the answer; {} where it fails, as while Redis or serve itself is away."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=15) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return {}

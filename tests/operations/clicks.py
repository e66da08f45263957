"""Traffic with tastes: users who mostly take items of their kind, and what else is asked for."""

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer

USERS, ITEMS, KINDS, NEW_ITEMS = 200, 120, 7, 5000
TURN_SECONDS = 0.1
Extra = Callable[[int, int], list[tuple[str, Any]]]
"""(number of the turn, now in ms) -> keys and values that are sent as well."""


class Clicks:
    """Sends about `a_second` clicks until `stop`; `extra` and `item` may be changed meanwhile."""

    def __init__(self, brokers: str, a_second: int = 150) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=brokers, acks="all", linger_ms=5, reconnect_backoff_max_ms=500
        )
        self._a_turn = int(a_second * TURN_SECONDS)
        self._dice = random.Random(1)
        self._stop = threading.Event()
        self.sent = 0
        self.extra: Extra = lambda turn, now: []
        self.item = self.of_taste
        for item in range(ITEMS):
            entry = {"item": f"i{item}", "title": f"Thing {item}", "categories": [f"c{item % 7}"]}
            self._send(f"i{item}", entry, "streamrec.items")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def of_taste(self, user: int) -> int:
        """Return an item of the user's kind, popular ones more often."""
        return (user % KINDS + KINDS * int(self._dice.paretovariate(1.0))) % ITEMS

    def of_new_ids(self, user: int) -> int:
        """Return an item of a catalogue that was loaded anew under other ids: no list knows it."""
        return ITEMS + self._dice.randrange(NEW_ITEMS)

    def stop(self) -> None:
        """End the traffic; all that was sent is acknowledged."""
        self._stop.set()
        self._thread.join()
        self._producer.flush()

    def close(self) -> None:
        self.stop()
        self._producer.close()

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(TURN_SECONDS):
            turn += 1
            now = int(time.time() * 1000)
            for n in range(self._a_turn):
                user = self._dice.randrange(USERS)
                kind = self._dice.choice(("view", "click", "click", "cart", "purchase"))
                event = {"user": f"u{user}", "item": f"i{self.item(user)}", "type": kind}
                self._count(f"u{user}", {**event, "id": f"e{turn}-{n}", "ts": now})
            for user_id, value in self.extra(turn, now):
                self._count(user_id, value)

    def _count(self, user: str, value: Any) -> None:
        self.sent += 1
        self._send(user, value, "streamrec.events")

    def _send(self, key: str, value: Any, topic: str) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._producer.send(topic, raw, key=key.encode())


def garbage(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return what no JSON reader takes."""
    return [("x", b"{")] * 3


def unknown_type(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return events of a schema that nobody has agreed to."""
    return [("x", {"user": "x", "item": "i1", "type": "unheard-of", "ts": now})] * 3


def duplicates(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return one event again and again."""
    return [("u1", {"user": "u1", "item": "i1", "type": "click", "ts": now, "id": "e1"})] * 3


def flood(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return more events of one user than a person makes."""
    event = {"user": "flood", "item": "i2", "type": "view", "ts": now}
    return [("flood", {**event, "id": f"f{turn}-{n}"}) for n in range(3)]


def visitors(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return clicks of a visitor, and what says who the visitor of 5 s ago was, twice a second."""
    if turn % 5:
        return []
    name, user = f"v{turn}", f"u{turn % USERS}"
    clicks = [{"user": name, "item": f"i{n}", "type": "click", "ts": now} for n in range(2)]
    merge = {"user": user, "type": "merge", "from": f"v{turn - 50}"}
    return [*((name, one) for one in clicks), (user, merge)]


def forgotten(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return a message that a user of whom nothing is known is to be forgotten."""
    return [("gone", {"user": "gone", "type": "forget"})] if turn % 10 == 0 else []


def wrong_keys(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return an event whose key is not its user."""
    return [("elsewhere", {"user": "stray", "item": "i1", "type": "click", "ts": now})]


def of_every_kind(turn: int, now: int) -> list[tuple[str, Any]]:
    """Return some of all of these."""
    kinds = (garbage, unknown_type, duplicates, flood, visitors, forgotten, wrong_keys)
    return [one for kind in kinds for one in kind(turn, now)]

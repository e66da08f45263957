"""The oracle: counts again, in plain Python and with no code of streamrec, what must be stored.

It reads the real log, partition by partition in offset order, and is slow and simple on purpose.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

POSITIVE = {"view", "click", "cart", "purchase", "like"}
OTHER = {"dislike", "remove", "impression"}
TEACH = POSITIVE | {"dislike"}
ONE = 2**20


class Raw(NamedTuple):
    """One message as Kafka has it; `timestamp` is the log's, in epoch milliseconds."""

    offset: int
    timestamp: int
    value: bytes | None


class Visit(NamedTuple):
    """One entry of a user's history."""

    ts: int
    offset: int
    item: str
    type: str


@dataclass
class User:
    """What is known of one user."""

    events: int = 0
    history: list[Visit] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    last_offset: int = -1
    marks: list[str] = field(default_factory=list)  # what is in no history, the oldest first
    held: set[str] = field(default_factory=set)  # of the history: taught nobody yet
    earlier: list[tuple[str, str, int]] = field(default_factory=list)  # item, type, newest time


def exported_user(line: dict[str, Any]) -> User:
    """Return what `streamrec export` says of a user; offsets within histories are not exported."""
    history = [Visit(v["ts"], 0, v["item"], v["type"]) for v in line["recent"]]
    earlier = [(e["item"], e["type"], e["ts"]) for e in line["earlier"]]
    return User(line["events"], history, earlier=earlier)


@dataclass
class Crowd:
    """The latest events of a partition that teach: item, and whether a newcomer's."""

    ratio: float
    window: int = 16_384
    latest: list[tuple[str, bool]] = field(default_factory=list)

    def held(self, item: str) -> bool:
        """Say whether the item has more events of newcomers than it may have."""
        events, new = Counter(i for i, _ in self.latest), Counter(i for i, n in self.latest if n)
        shares = [new[one] * ONE // events[one] for one in events]
        twice = 2 * (sum(shares) // len(shares)) if shares else ONE
        others, told = events[item] - new[item], [n for i, n in self.latest if i == item]
        in_a_row = next((n for n, one in enumerate(reversed(told)) if not one), len(told))
        allowed = min(others, int(10 * self.ratio))
        return twice < ONE and any(
            count * 10 > most * of and count * (ONE - twice) > twice * (of + 1)
            for count, of, most in (
                (new[item], others, allowed),
                (in_a_row, 1, max(10, allowed)),
            )
        )

    def note(self, item: str, new: bool) -> None:
        """Take in an event."""
        self.latest = [*self.latest, (item, new)][-self.window :]


@dataclass
class Recount:
    """Everything that the stored state must equal."""

    window: int = 5
    recent_items: int = 50
    duplicate_window: int = 100_000
    seen_items: int = 1000
    newcomer_items: int = 3
    newcomer_ratio: float = 2.0
    users: dict[str, User] = field(default_factory=lambda: defaultdict(User))
    item_events: Counter[str] = field(default_factory=Counter)
    item_pairs: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    partitions: dict[int, dict[str, int]] = field(default_factory=dict)
    rejected: dict[tuple[int, int], bytes] = field(default_factory=dict)
    given: dict[tuple[str, int], User] = field(default_factory=dict)
    """Rows on their way to another partition, by shard and offset at which they left."""

    def partition(self, number: int, messages: Iterable[Raw]) -> None:
        """Count one whole partition; a partition is counted once."""
        self.all({number: messages})

    def all(self, partitions: Mapping[int, Iterable[Raw]]) -> None:
        """Count partitions, each in its order; one waits where another's row comes to it."""
        left = [self._count(number, messages) for number, messages in partitions.items()]
        while left:
            before, waiting = len(self.given), []
            for one in left:
                if next(one, None) is not None:
                    waiting.append(one)
            assert len(waiting) < len(left) or len(self.given) > before, "a row that nobody gave"
            left = waiting

    def _count(self, number: int, messages: Iterable[Raw]) -> Generator[bool, None, None]:
        """Count a partition; yields while a row has not been given yet."""
        counts: Counter[str] = Counter()
        ids: list[tuple[str, str] | None] = []
        known: Counter[tuple[str, str]] = Counter()
        here: set[str] = set()
        nameless: set[tuple[str, str]] = set()
        crowd = Crowd(self.newcomer_ratio)
        taken: set[tuple[str, int]] = set()
        forgets: dict[str, int] = {}
        end = 0
        for message in messages:
            end = message.offset + 1
            counts["consumed"] += 1
            event = _read(message)
            if event is None:
                counts["rejected"] += 1
                self.rejected[number, message.offset] = message.value or b""
                continue
            if event["type"] == "forget":
                counts["control"] += 1
                forgets[event["user"]] = message.offset
                self._forget(event["user"], here)
                self._forget_ids(event["user"], ids, known, nameless)
                continue
            if event["type"] == "merge":
                counts["control"] += 1
                sender = event.get("asked") or event.get("given")
                if sender is None:
                    continue
                place = sender["by"], sender["at"]
                before = sender["by"], sender["after"]
                if place in taken or (before[1] >= 0 and before not in taken):
                    continue
                taken.add(place)
                if "asked" in event:
                    if event["from"] in here:
                        self.given[f"u{number}", message.offset] = self.users[event["from"]]
                    self._forget(event["from"], here)
                    continue
                gone = max(forgets.get(event[who], -1) for who in ("user", "from"))
                if gone > sender["asked"]:
                    continue
                while place not in self.given:
                    yield True
                here.add(event["user"])
                self._add(self.users[event["user"]], self.given[place], message.offset)
                continue
            if "id" in event:
                key = (event["user"], event["id"])
                if known[key]:
                    counts["duplicate"] += 1
                    continue
                ids.append(key)
                (nameless.add if event.get("personal") is False else nameless.discard)(key)
                known[key] += 1
                if len(ids) > self.duplicate_window:
                    oldest = ids.pop(0)
                    if oldest is not None:
                        known[oldest] -= 1
            counts["accepted"] += 1
            if event.get("personal") is False:
                self.item_events[event["item"]] += 1
                if event["type"] in TEACH and self.newcomer_items:
                    crowd.note(event["item"], True)
                continue
            here.add(event["user"])
            self._accept(event, message.offset, crowd)
        names = ("consumed", "accepted", "duplicate", "suppressed", "rejected", "control")
        self.partitions[number] = {"offset": end} | {name: counts[name] for name in names}

    def _forget(self, user: str, here: set[str]) -> None:
        """Drop what this partition knows of a user, but for the ids of events."""
        if user in here:
            here.remove(user)
            del self.users[user]

    def _forget_ids(
        self,
        user: str,
        ids: list[tuple[str, str] | None],
        known: Counter[tuple[str, str]],
        nameless: set[tuple[str, str]],
    ) -> None:
        """Drop the ids of a user's events; their places stay taken.

        nameless: ids of events that were not personal: nobody knows whose they are.
        """
        for at, key in enumerate(ids):
            if key is not None and key[0] == user and key not in nameless:
                ids[at] = None
                known[key] = 0

    def _newcomer(self, user: User, item: str, crowd: Crowd) -> tuple[bool, bool]:
        """Say whether the event is a newcomer's, and held; note it."""
        others = len(user.marks) + sum(visit.item != item for visit in user.history)
        new = others < self.newcomer_items
        held = new and (bool(user.held) or crowd.held(item))
        crowd.note(item, new)
        return new, held

    def _pair(self, earlier: list[Visit], item: str) -> None:
        for visit in earlier:
            self.item_pairs[visit.item] += 1
            self.pairs[visit.item, item] += 1

    def _release(self, user: User, item: str) -> None:
        """Teach the oldest visit that is held, but for that of the event's own item."""
        for at, visit in enumerate(user.history):
            if visit.item in user.held and visit.item != item:
                user.held.discard(visit.item)
                most = min(self.window, self.newcomer_items)
                self._pair(user.history[:at][-most:], visit.item)
                return

    def _add(self, user: User, visitor: User, offset: int) -> None:
        """Add what the visitor did; at equal times it comes after what the user did."""
        user.events += visitor.events
        user.seen |= visitor.seen
        for n, visit in enumerate(visitor.history):
            now = visit._replace(offset=offset + n / 1000)  # type: ignore[arg-type]
            self._note_earlier(user, now)
            newest = max([now, *(one for one in user.history if one.item == visit.item)])
            rest = [one for one in user.history if one.item != visit.item]
            if newest is now:
                (user.held.add if visit.item in visitor.held else user.held.discard)(visit.item)
            self._keep(user, [*rest, newest], [])
            for item, kind, ts in visitor.earlier:
                if item == visit.item and newest in user.history and kind != newest.type:
                    self._put_earlier(user, Visit(ts, 0, item, kind), kind)
        for mark in visitor.marks:
            self._mark(user, mark)

    def _keep(self, user: User, history: list[Visit], marks: list[str]) -> None:
        """Let the history be this, as far as it fits, and mark what falls out, or `marks`."""
        fell = [visit.item for visit in sorted(history)[: -self.recent_items]]
        user.history = sorted(history)[-self.recent_items :]
        user.held &= {visit.item for visit in user.history}
        user.earlier = [e for e in user.earlier if e[0] in {v.item for v in user.history}]
        for mark in marks or fell:
            self._mark(user, mark)

    def _mark(self, user: User, item: str) -> None:
        if item not in user.marks:
            user.marks = [*user.marks, item][-self.seen_items :]

    def _note_earlier(self, user: User, now: Visit) -> None:
        """Note what the latest event of an item hides: of each other type the newest time."""
        for latest in [visit for visit in user.history if visit.item == now.item]:
            if latest.type != now.type:
                self._put_earlier(user, min(now, latest), now.type)

    def _put_earlier(self, user: User, hidden: Visit, over: str) -> None:
        """Put a hidden event over the item's entry of a type, which is hidden no more, or older."""
        entry = (hidden.item, hidden.type, hidden.ts)
        same = [n for n, one in enumerate(user.earlier) if one[:2] == (hidden.item, over)]
        if same:
            if hidden.type != over or user.earlier[same[0]][2] <= hidden.ts:
                user.earlier[same[0]] = entry
        elif len(user.earlier) < self.recent_items:
            user.earlier.append(entry)
        else:
            oldest = min(range(len(user.earlier)), key=lambda n: user.earlier[n][2])
            if user.earlier[oldest][2] <= hidden.ts:
                user.earlier[oldest] = entry

    def _accept(self, event: dict[str, Any], offset: int, crowd: Crowd) -> None:
        user, item, kind = self.users[event["user"]], event["item"], event["type"]
        user.events += 1
        self.item_events[item] += 1
        if kind == "impression":
            return
        user.last_offset = offset
        before = [visit for visit in user.history if visit.item != item]
        new = held = False
        if kind in TEACH and self.newcomer_items:
            new, held = self._newcomer(user, item, crowd)
        if kind == "dislike":
            user.seen.add(item)
        elif kind == "remove":
            user.seen.discard(item)
        else:
            user.seen.add(item)
            now = Visit(event["ts"], offset, item, kind)
            earlier = [visit for visit in before if visit[:2] < now[:2]]
            if not held:
                self._pair(earlier[-self.window :], item)
            self._note_earlier(user, now)
            # a late event does not move the item back
            now = max([now, *(visit for visit in user.history if visit.item == item)])
            before.append(now)
            if now.offset == offset:
                (user.held.add if held else user.held.discard)(item)
        if kind == "remove":
            user.marks = [mark for mark in user.marks if mark != item]
        self._keep(user, before, [item] if kind == "dislike" else [])
        if kind in POSITIVE and not new and not held:
            self._release(user, item)

    def difference(self, other: "Recount") -> list[str]:
        """Return what differs between the two, a line each; `other` need not know offsets."""
        lines = []
        for name in ("item_events", "item_pairs", "pairs", "partitions", "rejected"):
            lines += _unequal(name, getattr(self, name), getattr(other, name))
        return lines + _unequal("users", _plain(self.users), _plain(other.users))


def _plain(users: dict[str, User]) -> dict[str, Any]:
    return {
        name: (
            user.events,
            [(visit.ts, visit.item, visit.type) for visit in user.history],
            sorted(user.earlier),
        )
        for name, user in users.items()
    }


def _unequal(name: str, mine: dict[Any, Any], theirs: dict[Any, Any]) -> list[str]:
    return [
        f"{name} {key}: counted {mine.get(key)}, stored {theirs.get(key)}"
        for key in sorted(mine.keys() | theirs.keys(), key=str)
        if (mine.get(key) or None) != (theirs.get(key) or None)
    ]


def _read(message: Raw) -> dict[str, Any] | None:
    """Return user, item, type, ts and perhaps id, or None for a message that must be rejected."""
    value = message.value
    if value is None or len(value) > 65_536:
        return None
    try:
        event = json.loads(value.decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(event, dict):
        return None
    user, item = _id(event.get("user")), _id(event.get("item"))
    kind, ts = event.get("type"), event.get("ts", message.timestamp)
    if user and kind == "forget":
        return {"user": user, "type": kind}
    if user and kind == "merge":
        return event if _id(event.get("from")) else None
    if not user or not item or kind not in POSITIVE | OTHER:
        return None
    if isinstance(ts, str):
        try:
            ts = round(datetime.fromisoformat(ts).timestamp() * 1000)
        except ValueError:
            return None
    if not isinstance(ts, int) or ts < 0 or ts > message.timestamp + 300_000:
        return None
    read = {"user": user, "item": item, "type": kind, "ts": min(ts, message.timestamp)}
    return read | {name: event[name] for name in ("id", "personal") if name in event}


def _id(raw: object) -> str:
    text = str(raw) if isinstance(raw, int) else raw
    if isinstance(text, str) and len(text.encode()) <= 128 and text.isprintable():
        return text
    return ""

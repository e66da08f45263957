"""Laws that hold for every source: what it alone proposes after one log, through both folds."""

from functools import cache
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from laws.world import World, event, fill, raws, small
from oracle import FLOOR, maker_of

from streamrec.events.event import Item
from streamrec.settings.sections import BlendSettings
from streamrec.settings.types import changed
from streamrec.sources.registry import SOURCES
from streamrec.sources.source import Shopper, Source
from streamrec.state import updates
from streamrec.state.item_table import ItemTable
from streamrec.state.keys import key_of
from streamrec.state.metadata_shard import MetadataShard
from streamrec.state.user_rows import UserRow, decode_user, no_user

NAMES = tuple(source.name for source in SOURCES)
BY_VECTORS = ("factors", "variants")
USERS, ITEMS, EVENTS, BATCH, CUT = 8, 25, 140, 10, 70
KINDS = ("click", "click", "click", "view", "purchase", "dislike", "remove", "impression")
COUNTED = (*NAMES[:3], "repeats")
EVERY = pytest.mark.parametrize(("source", "seed"), list(product(NAMES, (1, 2))))
Proposed = dict[tuple[str, str], float]
"""Scores of all that a source proposes, by user and item, each user's best first."""


class Place(World):
    """A world that knows titles, and says what one source proposes, all others switched off."""

    def __init__(self, exclude: str = "none", workers: int = 1) -> None:
        lists = {"exclude": exclude, "length": 40, "session_seconds": 60.0}
        far, ring = {"window": 4, "neighbours": 30}, {"window": 3, "entries": 12}
        users = {"recent_items": 50, "seen_items": 50}  # more than the log has
        learners = {"cosine": far, "successors": ring, "content": {"size": 16}}
        learners |= {"variants": {"items": 30}}
        super().__init__(small(users=users, lists=lists, **learners), workers, workers)
        self.metadata = MetadataShard(0, self.settings.factors.size, workers, 0)
        self.announce(*range(ITEMS))

    def announce(self, *numbers: int, **more: bool) -> None:
        for n in numbers:
            title, at = f"the {('red', 'green', 'blue')[n % 3]} one", self.metadata.offset
            item = Item(f"i{n}", title=title, categories=(f"kind {n % 4}",), **more)
            records = self.metadata.fold([(at, item)], at + 1)
            for sent, record in zip(self.sent, records, strict=True):
                sent.append(updates.encode(record))
            self.deliver()

    def play(self, log: list[dict[str, Any]], first: int = 0, batch: int = BATCH) -> "Place":
        """Learn events of offsets from `first` on; one by one, each in its user's partition."""
        messages = [raw._replace(offset=first + raw.offset) for raw in raws(log)]
        for n in range(0, len(log), batch):
            source = key_of(log[n]["user"]) % len(self.users) if batch == 1 else 0
            self.learn(messages[n : n + batch], source)
        return self

    def people(self) -> dict[str, UserRow]:
        """Return the rows of all users, in their order, and of a stranger."""
        stored = [self.rows.get(shard.name, {"users": {}})["users"] for shard in self.users]
        blobs = sorted((user.decode(), b) for each in stored for user, b in each.items())
        return {user: decode_user(blob) for user, blob in blobs} | {"stranger": no_user()}

    def proposed(self, source: str, table: ItemTable | None = None) -> Proposed:
        """Return what it proposes to all users, each one's best first."""
        people, table = self.people(), self.table if table is None else table
        off = tuple(other for other in NAMES if other != source)
        blend = BlendSettings(kind="weighted", weights={source: 1.0}, off=off)
        maker = maker_of(table, msgspec.structs.replace(self.settings, blend=blend))
        lists = maker.make([maker.shopper(row, table) for row in people.values()], table)
        made = zip(people, lists, strict=True)
        return {(user, one.item): one.score for user, each in made for one in each.items}

    def loaded(self) -> ItemTable:
        """Return a table filled from what is stored, as a process that starts fills it."""
        table = ItemTable(self.settings, with_lists=True)
        for shard in self.items:
            fill(table, self.rows[shard.name], [])
        return table


def log_of(seed: int) -> list[dict[str, Any]]:
    """Return events of all types; some come late, two users in three have a segment."""
    rng, found = np.random.default_rng(seed), []
    for n in range(EVENTS):
        user, item = int(rng.integers(USERS)), min(ITEMS, int(rng.geometric(0.12))) - 1
        segment = {"segment": ("at", "de")[user % 3]} if user % 3 < 2 else {}
        ts = 5 * n - int(rng.integers(9))
        found.append(event(f"u{user}", f"i{item}", str(rng.choice(KINDS)), ts, **segment))
    return found


@cache
def kept(seed: int, exclude: str = "none") -> Place:
    """Return the world after a log, for tests that only read it."""
    return Place(exclude).play(log_of(seed))


def close(one: Proposed, two: Proposed) -> bool:
    """Say whether both are the same but for sums in another order, and the order of ties."""
    return bool(one) and one == pytest.approx(two, abs=2e-3)


def equal(one: Proposed, two: Proposed) -> bool:
    return bool(one) and list(one.items()) == list(two.items())


@EVERY
def test_it_is_silent_before_anything_is_learnt_and_not_after(source: str, seed: int) -> None:
    """To a stranger only popularity ever proposes anything."""
    assert Place().proposed(source) == {}  # though all items are announced
    found = kept(seed).proposed(source)
    of = {user: [s for (one, _), s in found.items() if one == user] for user, _ in found}
    assert all(scores == sorted(scores, reverse=True) for scores in of.values())
    assert ("stranger" in of) == source.startswith("popularity")
    assert len(of) > USERS // 2 and len({item for _, item in found}) >= 5


@EVERY
def test_the_same_log_gives_the_same_lists(source: str, seed: int) -> None:
    assert equal(kept(seed).proposed(source), Place().play(log_of(seed)).proposed(source))


@EVERY
def test_it_is_the_same_for_three_workers_as_for_one(source: str, seed: int) -> None:
    """And after a restart. By vectors only the same is proposed: draws go by worker and rows."""
    places = [Place(workers=n).play(log_of(seed), batch=1) for n in (1, 3)]
    one, three = (place.proposed(source) for place in places)
    assert close(one, three) if source not in BY_VECTORS else one.keys() == three.keys()
    if source != "content":  # idf goes by the order in which a process reads the items
        assert close(three, places[1].proposed(source, places[1].loaded()))


@EVERY
def test_stored_and_restored_midway_it_goes_on_alike(source: str, seed: int) -> None:
    """Factors and content keep their table: draws go by its rows, idf by the order of reading."""
    log = log_of(seed)
    place = Place().play(log[:CUT])
    before = place.proposed(source)
    place.restart_users(new_table=source not in (*BY_VECTORS, "content"))
    place.restart_items()
    assert close(before, place.proposed(source))
    assert close(kept(seed).proposed(source), place.play(log[CUT:], CUT).proposed(source))


@EVERY
def test_a_record_applied_twice_changes_nothing(source: str, seed: int) -> None:
    """At once, and once more when all are learnt."""
    place, log = Place(), log_of(seed)
    for n in range(0, EVENTS, BATCH):
        place.play(log[n : n + BATCH], n)
        assert place.items[0].fold(updates.decode(place.sent[0][-1])).repeat
    assert all(place.items[0].fold(updates.decode(record)).repeat for record in place.sent[0])
    place.deliver()
    assert equal(kept(seed).proposed(source), place.proposed(source))


@EVERY
def test_reading_changes_nothing(source: str, seed: int) -> None:
    def memory() -> tuple[Any, ...]:
        arrays = (*table.arrays, *place.items[0].items, *place.users[0].users.arrays)
        return len(table), place.rows, [a.tobytes() for a in arrays]

    place, table = kept(seed), kept(seed).table
    before = msgspec.msgpack.encode(memory())
    assert equal(place.proposed(source), place.proposed(source))
    assert msgspec.msgpack.encode(memory()) == before
    assert not any(place.items[0].changes()[0].values())


def forbidden(log: list[dict[str, Any]], exclude: str) -> set[tuple[str, str]]:
    """Return by user what must not be listed: what they dislike, and by the rule what they had."""
    had: dict[tuple[str, str], int] = {}
    disliked = set()
    for one in log:
        mine, kind = (one["user"], one["item"]), one["type"]
        if kind in ("dislike", "remove"):
            had.pop(mine, None)
            (disliked.add if kind == "dislike" else disliked.discard)(mine)
        elif kind != "impression":
            had[mine] = max(one["ts"], had.get(mine, 0))
    found, begun = set(had) if exclude == "user" else set(), dict[str, int]()
    for (user, item), ts in sorted(had.items(), key=lambda entry: -entry[1]):
        if exclude == "session" and begun.setdefault(user, ts) - ts <= 60_000:
            begun[user] = ts
            found.add((user, item))
    return found | disliked


@EVERY
@pytest.mark.parametrize("exclude", ["user", "session", "none"])
def test_what_was_had_or_disliked_is_never_proposed(source: str, seed: int, exclude: str) -> None:
    found, never = kept(seed, exclude).proposed(source), forbidden(log_of(seed), exclude)
    assert never and not never & found.keys()
    if source == "repeats":  # it has nothing else to say
        assert bool(found) == (exclude == "none")
    else:  # what one user may not see is proposed to others
        assert {item for _, item in never} & {item for _, item in found}


@EVERY
def test_what_is_unavailable_is_never_proposed(source: str, seed: int) -> None:
    place = Place().play(log_of(seed))
    gone, before = {f"i{n}" for n in range(0, ITEMS, 2)}, place.proposed(source)
    place.announce(*range(0, ITEMS, 4), available=False)
    place.announce(*range(2, ITEMS, 4), available=False, deleted=True)
    silent: set[str] = set()
    if source == "content":  # to whom took nothing lately whose text is not deleted
        deleted = {key_of(f"i{n}") for n in range(2, ITEMS, 4)}
        most = place.settings.factors.context
        newest = {user: set(row.keys[-most:].tolist()) for user, row in place.people().items()}
        silent = {user for user, keys in newest.items() if keys <= deleted}
    left = {(user, item) for user, item in before if item not in gone and user not in silent}
    if source == "variants":  # of a title that is not deleted, and that the user took
        rest = [n for n in range(ITEMS) if n % 4 != 2]
        took = {user: set(row.keys.tolist()) for user, row in place.people().items()}
        titles = {user: {n % 3 for n in rest if key_of(f"i{n}") in took[user]} for user in took}
        left = {(user, item) for user, item in left if int(item[1:]) % 3 in titles[user]}
    assert left and left < before.keys() and place.proposed(source).keys() == left


@EVERY
def test_an_event_of_weight_0_teaches_nothing(source: str, seed: int) -> None:
    """But cosine divides by the number of all accepted events of an item, impressions too."""
    place = Place().play(log_of(seed))
    before, pairs = (
        place.proposed(source),
        np.random.default_rng(seed).integers(USERS, size=(60, 2)),
    )
    shown = [
        event(f"u{user}", f"i{item}", "impression", 705, segment="de")
        for user, item in pairs.tolist()
    ]
    after = place.play(shown, EVENTS).proposed(source)
    assert close(before, after) if source != "cosine" else before.keys() == after.keys()


def own_of(source: str, place: Place, shopper: Shopper, prior: float) -> Any:
    """Return float[items]: what a score has without any past item."""
    a, n, s = place.table.arrays, len(place.table), place.settings.similarity
    shares = a.heats[:n] - place.table.log2_totals()
    logs = np.maximum(FLOOR, np.log(2.0) * shares)
    if source == "factors":
        return a.bias[:n] + prior * logs[:, 0]
    if source == "similarity":
        near = shopper.history[: s.window]
        steps = place.settings.factors.context_decay ** np.arange(len(near))
        return (steps * s.prior / (a.similarity_total[near] + s.prior)).sum() * np.exp(logs[:, 2])
    return np.zeros(n)


@EVERY
@pytest.mark.parametrize("prior", [0.0, 0.7])
def test_what_past_items_support_and_its_own_make_the_score(
    source: str, seed: int, prior: float
) -> None:
    place, m, supported = kept(seed), NAMES.index(source), 0
    table, config = place.table, changed(place.settings, factors={"prior": prior})
    maker = maker_of(table, config)
    for row in place.people().values():
        shopper = maker.shopper(row, table)
        [ranked] = maker.rank([shopper], table)
        rows, where = ranked.candidates, maker.scratch.where
        support = maker.sources[m].support(table.arrays, shopper, rows, where)
        if type(maker.sources[m]).support is Source.support:
            assert support is None
            continue
        found = support.sum(axis=1)
        if len(shopper.history):
            found += own_of(source, place, shopper, prior)[rows]
        scores = [maker.score_of(m, shopper, table, j) for j in rows.tolist()]
        assert len(rows) and found == pytest.approx(scores, rel=1e-4, abs=1e-6)
        supported += np.count_nonzero(support)
    assert (supported > 0) == (source not in (*NAMES[:3], "segment"))


@pytest.mark.parametrize(("source", "seed"), list(product(COUNTED, (1, 2))))
def test_removing_takes_back_what_is_counted(source: str, seed: int) -> None:
    """Popularity and the history, as docs/learners.md says; pairs and steps of factors stay."""
    place = Place().play([*log_of(seed), event("new", "i0", "impression", 705)])
    before = place.proposed(source)
    for n, kind in ((1, "purchase"), (2, "remove")):
        place.play([event("new", f"i{i}", kind, 705 + n) for i in range(9)], EVENTS + 9 * n)
        assert close(before, place.proposed(source)) == (kind == "remove")

"""What Redis says of people: who they are, what they took, their lists with titles and reasons."""

from collections.abc import Sequence

import msgspec

from streamrec.client import Client, Recommendations
from streamrec.http.console.words import meaning, reason
from streamrec.state.item_rows import CATALOGUE
from streamrec.state.keys import field_of
from streamrec.state.user_rows import UserRow, decode_user
from streamrec.transport.redis.keys import list_key, user_shards
from streamrec.transport.redis.store import Store

SAMPLED = 100
"""Users of each partition that are looked at, by chance where there are more."""
PEOPLE = 30
LATEST = 5
PICTURES = ("https://", "http://", "/")


class Named(msgspec.Struct):
    """An item with its title, or its id for want of one."""

    item: str
    title: str = ""


class _Pictured(msgspec.Struct):
    item: str
    attributes: dict[str, str | float | bool | None] = {}


class Person(msgspec.Struct):
    """A user who has a list; `latest` items first, `at`: log time of the last event."""

    user: str
    events: int
    at: int
    latest: list[Named]


class Row(msgspec.Struct):
    """One row of a list."""

    item: str
    title: str
    score: float
    source: str
    meaning: str
    reason: str
    because: list[Named]
    picture: str = ""  # its address


class Shown(msgspec.Struct):
    """A user's list, and what the user took last, newest first."""

    user: str
    at: int
    offset: int
    personal: bool
    model: str
    rows: list[Row]
    latest: list[Named]
    milliseconds: float | None = None  # from the click that made it, if one of this page did


def people(client: Client) -> list[Person]:
    """Return some users who have lists, those who did something last first."""
    found = sampled(client.store, SAMPLED)
    found.sort(key=lambda one: (-one[1].clock, -one[1].offset))
    there = client.store.each([("EXISTS", list_key(user)) for user, _ in found[: 2 * PEOPLE]])
    listed = [one for one, has in zip(found, there, strict=False) if has == 1][:PEOPLE]
    latest = {user: latest_keys(row, 1) for user, row in listed}
    names = named(client, [key for keys in latest.values() for key in keys])
    return [
        Person(user, row.events, row.clock, [names[k] for k in latest[user] if k in names])
        for user, row in listed
    ]


def sampled(store: Store, most: int) -> list[tuple[str, UserRow]]:
    """Return up to so many users of each partition, by chance, with their rows."""
    return [
        (user.decode(), decode_user(blob))
        for shard in user_shards(store.known_shards())
        for user, blob in store.sample_users(shard, most)
    ]


def shown(client: Client, user: str, found: Recommendations, pictures: str = "") -> Shown:
    """Return a list as the page shows it; pictures: the attribute that has them."""
    row = user_row(client, user)
    keys = [] if row is None else latest_keys(row, LATEST)
    past = named(client, keys)
    wanted = {name for entry in found.items for name in (entry.item, *entry.because)}
    titles = client.titles(sorted(wanted)) if wanted else {}
    seen = pictures_of(client, [entry.item for entry in found.items], pictures)
    rows = []
    for entry in found.items:
        because = [Named(name, titles.get(name) or name) for name in entry.because]
        again = entry.item in entry.because
        why = reason(entry.source, [one.title for one in because], again=again)
        title = titles.get(entry.item) or entry.item
        of = entry.source, meaning(entry.source)
        picture = seen.get(entry.item, "")
        rows.append(Row(entry.item, title, entry.score, *of, why, because, picture))
    taken = [past[key] for key in keys if key in past]
    return Shown(user, found.at, found.offset, found.personal, found.model, rows, taken)


def pictures_of(client: Client, items: Sequence[str], attribute: str) -> dict[str, str]:
    """Return the addresses of pictures that items have in an attribute; of this site or the web."""
    if not attribute:
        return {}
    rows = client.store.item_rows(CATALOGUE, map(field_of, items))
    found = [msgspec.json.decode(row, type=_Pictured) for row in rows.values()]
    named = {one.item: str(one.attributes.get(attribute) or "") for one in found}
    return {item: text for item, text in named.items() if text.startswith(PICTURES)}


def user_row(client: Client, user: str) -> UserRow | None:
    """Return what is stored of a user; None for a stranger."""
    found = client.store.user_row(user, client.store.known_shards())
    return None if found is None else decode_user(found[1])


def latest_keys(row: UserRow, most: int) -> list[bytes]:
    """Return the keys of the items that a user took last, newest first."""
    return [key.tobytes() for key in row.keys[: -most - 1 : -1]]


def named(client: Client, keys: list[bytes]) -> dict[bytes, Named]:
    """Return the items of these keys, those that are known."""
    return {key: read_named(row) for key, row in client.store.item_rows(CATALOGUE, keys).items()}


def read_named(blob: bytes) -> Named:
    """Return the item of a catalogue row."""
    item = msgspec.json.decode(blob, type=Named)
    return Named(item.item, item.title or item.item)

"""A visitor becomes a person: the message that says so, and the two that shards send each other.

    merge   to the person's partition, by the site: what `from` did was the user's
    ask     by the shard that took it, to all partitions: who has the visitor's row gives it
    give    by the shard that had it, to the partition that asked: the row, added to the user's

All three are of the type `merge` on the events topic, so each shard stays a fold over one partition
and a replay meets them where they were. `by` and `at` are the sender's shard and offset: what is
sent again after a crash has them again. `after` is the `at` of the one that was sent before, with
it and to the same partition. A shard takes what is past the last one that it took of a sender, if
it took the one before: else that one was not delivered, and both are sent again.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from streamrec.events.checks import checked_id, refuse
from streamrec.settings.mappings import MERGE, FieldMapping

ASKED, GIVEN = "asked", "given"
MOST_BYTES = 512 * 1024
"""Of a message with a row: the longest history and most seen items make 350 kB."""
NONE_BEFORE = -1
Shard = Annotated[str, msgspec.Meta(pattern=r"\Au(0|[1-9][0-9]{0,5})\Z")]
Offset = Annotated[int, msgspec.Meta(ge=0)]


class Merge(msgspec.Struct, frozen=True):
    """One decoded message: the visitor is this user."""

    user: str
    visitor: str


class Ask(msgspec.Struct, frozen=True):
    """Asks the owner of a visitor's row to give it to the shard `by`."""

    user: str
    visitor: str
    by: str
    at: int
    after: int = NONE_BEFORE


class Give(msgspec.Struct, frozen=True):
    """A visitor's row, as stored, for the user.

    asked: offset of the merge, in the partition that the row goes to; types: names of its event
    types.
    """

    user: str
    visitor: str
    by: str
    at: int
    asked: int
    types: tuple[str, ...]
    row: bytes
    after: int = NONE_BEFORE


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    by: Shard
    at: Offset
    after: int


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    by: Shard
    at: Offset
    after: int
    asked: Offset
    types: tuple[str, ...]
    row: str


def merge_of(document: Mapping[str, Any], user: Any, visitor: Any) -> Merge | Ask | Give:
    """Return what a message of the type says; raises Refusal."""
    names = checked_id(user, "user"), checked_id(visitor, "from")
    try:
        if ASKED in document:
            asked = msgspec.convert(document[ASKED], _Asked)
            return Ask(*names, asked.by, asked.at, asked.after)
        if GIVEN in document:
            given = msgspec.convert(document[GIVEN], _Given)
            row = b64decode(given.row, validate=True)
            return Give(*names, given.by, given.at, given.asked, given.types, row, given.after)
    except (msgspec.ValidationError, ValueError):
        refuse("schema", "a message between shards that no shard has sent")
    return Merge(*names)


def encode_merge(mapping: FieldMapping, what: Merge | Ask | Give) -> bytes:
    """Return the message, in the shape of the topic."""
    message: dict[str, Any] = {
        mapping.user: what.user, mapping.type: MERGE, mapping.visitor: what.visitor
    }  # fmt: skip
    if not isinstance(what, Merge):
        sender = {"by": what.by, "at": what.at, "after": what.after}
        if isinstance(what, Give):
            row = b64encode(what.row).decode()
            sender |= {"asked": what.asked, "types": what.types, "row": row}
        message[GIVEN if isinstance(what, Give) else ASKED] = sender
    return msgspec.json.encode(message)

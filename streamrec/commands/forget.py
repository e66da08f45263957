"""`streamrec forget`: asks for a user to be dropped, waits until nothing is left, and says so."""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.options import settings_of
from streamrec.errors import ConfigurationError, NotForgotten

if TYPE_CHECKING:
    from streamrec.inspection.known_user import Traces
    from streamrec.inspection.stored_state import Stored
    from streamrec.settings.sections import KafkaSettings, Settings
    from streamrec.state.user_fold import Forgotten

POLL_SECONDS = 0.1
KEPT = "what was merged into another user before: it is that user's, and goes with that user"


def forget(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument()],
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the end.")] = 60.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="The receipt as one JSON object.")
    ] = False,
) -> None:
    """Drop all that is known of a user, wait until nothing is left, and print a receipt."""
    settings = settings_of(ctx)
    from streamrec.inspection.known_user import traces_of
    from streamrec.inspection.stored_state import Stored
    from streamrec.transport.kafka.log_identity import check_same

    message, began = _message(settings, user), time.monotonic()
    with closing(Stored(settings.redis)) as stored:
        check_same(stored.shards, settings.kafka)
        before = traces_of(stored, user)
        stood = _offsets(stored)
        _send(settings.kafka, user, message, stored.shards.users)
        applied = _wait(stored, user, stood, began + timeout)
    seconds = time.monotonic() - began
    receipt = _receipt(settings.kafka, user, before, applied, seconds)
    print(json.dumps(receipt, ensure_ascii=False) if as_json else _in_words(receipt))


def _message(settings: "Settings", user: str) -> bytes:
    """Return the message; raises ConfigurationError for a bad id."""
    from streamrec.events.event import Rejected, encode_forget

    message = encode_forget(settings.events, user)
    if isinstance(message, Rejected):
        raise ConfigurationError(f"USER {user!r}: {message.detail}")
    return message


def _send(kafka: "KafkaSettings", user: str, message: bytes, partitions: int) -> None:
    """Send it to all partitions: a producer may have sent some events of the user elsewhere."""
    from streamrec.transport.kafka.open_log import open_for_command

    with closing(open_for_command(kafka)) as log:
        for number in range(partitions):
            log.produce(kafka.events_topic, message, key=user.encode(), partition=number)
        log.flush()


def _offsets(stored: "Stored") -> dict[str, int]:
    metas = stored.metas("u")
    return {name: metas[name].offset if name in metas else 0 for name in stored.names("u")}


def _wait(
    stored: "Stored", user: str, stood: Mapping[str, int], deadline: float
) -> "dict[str, Forgotten]":
    """Wait until each shard has noted the message, deleted everything, and deleted its note."""
    from streamrec.inspection.known_user import noted, traces_of

    applied: dict[str, Forgotten] = {}
    while True:
        now = noted(stored, user)
        applied |= {shard: told for shard, told in now.items() if told.offset >= stood[shard]}
        late = sorted(stood.keys() - applied.keys())
        left = traces_of(stored, user)
        if not late and not now and (not left.names or _came_back(left, applied)):
            return applied
        if time.monotonic() > deadline:
            raise NotForgotten(_why(stored, user, stood, late, left.names))
        time.sleep(POLL_SECONDS)


def _came_back(left: "Traces", applied: "Mapping[str, Forgotten]") -> bool:
    """Say whether what is left was learnt from events after the message."""
    from streamrec.state.user_rows import decode_user

    newer = [decode_user(row).offset > applied[shard].offset for shard, row in left.rows.items()]
    return bool(newer) and all(newer)


def _why(
    stored: "Stored", user: str, stood: Mapping[str, int], late: list[str], left: list[str]
) -> str:
    still = [shard for shard in late if _offsets(stored)[shard] == stood[shard]]
    if still:
        why = f"{', '.join(still)} stand still: does `streamrec learn` run? (`streamrec audit`)"
    elif late:
        why = f"{', '.join(late)} are behind (`streamrec audit` says how far)"
    else:
        why = f"what is left: {', '.join(left) or 'the note of it'}; see the log of `learn`"
    return (
        f"{user} is not forgotten yet: {why}. The message is in the log and will be applied; "
        "run the command again for a receipt."
    )


def _receipt(
    kafka: "KafkaSettings",
    user: str,
    before: "Traces",
    applied: "Mapping[str, Forgotten]",
    seconds: float,
) -> dict[str, Any]:
    removed = {
        "events": sum(told.events for told in applied.values()),
        "history": sum(told.recent for told in applied.values()),
        "duplicate_ids": sum(told.ids for told in applied.values()),
        "keys": before.names,
    }
    places = [
        {"topic": kafka.events_topic, "partition": int(shard[1:]), "offset": told.offset}
        for shard, told in sorted(applied.items())
    ]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "user": user,
        "forgotten_at": at,
        "seconds": round(seconds, 1),
        "removed": removed,
        "messages": places,
        "not_removed": KEPT,
    }


def _in_words(receipt: Mapping[str, Any]) -> str:
    removed = receipt["removed"]
    places = ", ".join(f"{p['topic']}/{p['partition']} {p['offset']}" for p in receipt["messages"])
    return "\n".join(
        [
            f"forgotten: {receipt['user']}, {receipt['forgotten_at']}, in {receipt['seconds']} s",
            f"removed: {removed['events']} events, {removed['history']} items of the history, "
            f"{removed['duplicate_ids']} ids for duplicates",
            f"keys that were there: {', '.join(removed['keys']) or 'none'}",
            f"messages (partition, offset): {places}",
            f"not removed: {receipt['not_removed']}",
        ]
    )

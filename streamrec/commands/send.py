"""`streamrec send`: events are checked as the learners will check them, then produced."""

import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.options import EXIT_REFUSED, end, settings_of
from streamrec.errors import ConfigurationError

if TYPE_CHECKING:
    from streamrec.settings.sections import Settings

FLUSH_EVERY = 10_000


def send(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Argument()] = None,
    item: Annotated[str | None, typer.Argument()] = None,
    event_type: Annotated[str, typer.Option("--type", help="A type of events.weights.")] = "click",
    ts: Annotated[
        str | None, typer.Option(help="Epoch milliseconds or RFC 3339; otherwise now.")
    ] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="For dropping duplicates.")] = None,
    value: Annotated[float | None, typer.Option(help="The event's value.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read events as JSON lines.")] = False,
) -> None:
    """Check one event, or JSON lines, and send them to Kafka."""
    if stdin != (user is None) or (user is None) != (item is None):
        raise typer.BadParameter("give USER and ITEM, or --stdin alone")
    settings = settings_of(ctx)
    if stdin:
        end(_send(settings, sys.stdin.buffer))
    when = int(ts) if ts is not None and ts.isdecimal() else ts
    fields = {"user": user, "item": item, "type": event_type, "ts": when, "id": event_id}
    end(_send(settings, [_line(settings, {**fields, "value": value})]))


def _line(settings: "Settings", fields: dict[str, Any]) -> bytes:
    from streamrec.settings.mappings import FieldMapping

    if settings.events.mapping != FieldMapping():
        raise ConfigurationError(
            "events.mapping describes messages of another shape: pipe such a message into "
            "`streamrec send --stdin`"
        )
    return json.dumps({name: v for name, v in fields.items() if v is not None}).encode()


def _send(settings: "Settings", lines: Iterable[bytes]) -> int:
    """Send events, one JSON object a line; returns 65 when some were refused and not sent."""
    from streamrec.events.event import EventDecoder, Rejected
    from streamrec.events.merging import Merge
    from streamrec.transport.kafka.open_log import open_for_command

    decoder = EventDecoder(settings.events)
    topic = settings.kafka.events_topic
    sent = refused = 0
    with closing(open_for_command(settings.kafka)) as log:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            event = decoder.decode_sent(line.rstrip(), time.time_ns() // 1_000_000)
            if isinstance(event, Rejected):
                refused += 1
                print(f"line {number}: {event.reason}: {event.detail}", file=sys.stderr)
                continue
            if isinstance(event, Merge):  # what the visitor did is to be in the log before
                log.flush()
            log.produce(topic, line.rstrip(), key=event.user.encode())
            sent += 1
            if sent % FLUSH_EVERY == 0:
                log.flush()
        log.flush()
    print(f"sent {sent} to {topic}" + (f", refused {refused}" if refused else ""))
    return EXIT_REFUSED if refused else 0

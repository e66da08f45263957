"""`streamrec send`: events are checked as the learners will check them, then produced."""

import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.events.event import EventDecoder, Rejected
from streamrec.settings.sections import FieldMapping, Settings
from streamrec.transport.open_log import open_log

EXIT_REJECTED = 65
FLUSH_EVERY = 10_000


def run_one(settings: Settings, fields: dict[str, Any]) -> int:
    """Send one event given by its fields; `ts` may be digits. Returns the exit code."""
    if settings.events.mapping != FieldMapping():
        raise ConfigurationError(
            "events.mapping describes messages of another shape: pipe such a message into "
            "`streamrec send --stdin`"
        )
    if fields["ts"] is not None and fields["ts"].isdecimal():
        fields = {**fields, "ts": int(fields["ts"])}
    given = {name: value for name, value in fields.items() if value is not None}
    return run(settings, [json.dumps(given).encode()])


def run(settings: Settings, lines: Iterable[bytes]) -> int:
    """Send events, one JSON object a line; returns 65 when some were refused and not sent."""
    decoder = EventDecoder(settings.events)
    topic = settings.kafka.events_topic
    sent = refused = 0
    with closing(open_log(settings.kafka)) as log:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            event = decoder.decode(line.rstrip(), time.time_ns() // 1_000_000)
            if isinstance(event, Rejected):
                refused += 1
                print(f"line {number}: {event.reason}: {event.detail}", file=sys.stderr)
                continue
            log.produce(topic, line.rstrip(), key=event.user.encode())
            sent += 1
            if sent % FLUSH_EVERY == 0:
                log.flush()
        log.flush()
    print(f"sent {sent} to {topic}" + (f", refused {refused}" if refused else ""))
    return EXIT_REJECTED if refused else 0

"""Decodes events, and looks at what their senders choose: clocks and keys."""

import logging
from collections.abc import Sequence

from streamrec.events.event import Event, EventDecoder
from streamrec.events.merging import Merge
from streamrec.flow import decode
from streamrec.monitoring.metrics import Metrics
from streamrec.state.user_fold import Decoded
from streamrec.transport.kafka.log import Message

logger = logging.getLogger(__name__)
SKEW_MS = 5000
"""By so much the broker's clock may be ahead of ours; further is a sender's own (CreateTime)."""
SAMPLE = 20
"""Events of a batch whose key is compared with the user, about."""
SAY_SECONDS = 60.0


class EventKeys:
    """Decodes events, and finds those whose key is not their user.

    Then one user is in several partitions. A message is never later than its fetch, whatever its
    sender's clock says.
    """

    def __init__(self, decoder: EventDecoder, metrics: Metrics) -> None:
        self._decoder = decoder
        self._metrics = metrics
        self._said = 0.0

    def decode(self, messages: Sequence[Message], now: float) -> list[Decoded]:
        """Return what messages hold; `now` is epoch seconds."""
        latest = int(now * 1000)
        raws = ((m.offset, log_time(m.timestamp, latest), m.value) for m in messages)
        decoded = decode(self._decoder, raws)
        self._compare_keys(messages, decoded, now)
        return decoded

    def _compare_keys(
        self, messages: Sequence[Message], decoded: Sequence[Decoded], now: float
    ) -> None:
        step = 1 + len(messages) // SAMPLE
        pairs = zip(messages[::step], decoded[::step], strict=True)
        events = [(m, e) for m, (_, _, e) in pairs if isinstance(e, Event | Merge)]
        foreign = [(m, e) for m, e in events if m.key != e.user.encode()]
        self._metrics.keys_looked_at.inc(len(events))
        self._metrics.keys_foreign.inc(len(foreign))
        if foreign and now - self._said >= SAY_SECONDS:
            self._said = now
            share = f"{len(foreign)} of {len(events)} looked at"
            text = "events whose key is not their user: a user in two partitions has two histories"
            logger.warning(text, extra={"events": share, "offset": foreign[0][0].offset})


def log_time(timestamp: int, now_ms: int) -> int:
    """Return a message's log time: not after its fetch."""
    return now_ms if timestamp > now_ms + SKEW_MS else timestamp

"""`streamrec learn` whose Kafka client does not come back from a poll once it has delivered.

As kafka-python's own loop over a batch that it cannot read: it turns, and never returns.
"""

import sys

from streamrec.cli import main
from streamrec.transport.kafka.kafka_python_log import KafkaPythonLog

real = KafkaPythonLog.poll
turns = 0


def poll(self: KafkaPythonLog, timeout_seconds: float, max_messages: int):  # type: ignore[no-untyped-def]
    global turns
    found = real(self, timeout_seconds, max_messages)
    turns += any(found) and "events" in next(iter(found)).topic
    while turns > 1:
        sum(range(1000))
    return found


KafkaPythonLog.poll = poll  # type: ignore[method-assign]
sys.exit(main())

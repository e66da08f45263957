"""How a role ends on SIGTERM: after the batch at hand, or without it where a call does not end."""

import logging
import os
import signal
import threading

logger = logging.getLogger(__name__)
LEAVE_SECONDS = 8.0
"""For the batch at hand. Orchestrators kill after 10 to 30 s; a kill loses nothing either."""


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; the loops then drain and leave."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        logger.info("stopping", extra={"signal": signal.Signals(number).name})
        if not stop.is_set():
            last = threading.Timer(LEAVE_SECONDS, _leave)
            last.daemon = True
            last.start()
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _leave() -> None:
    """End the process while a call to Kafka or Redis has still not come back."""
    logger.warning("Kafka or Redis does not answer: leaving; what is not committed is learnt again")
    logging.shutdown()
    os._exit(0)

"""How a role ends on SIGTERM: after the batch at hand, or without it where a call does not end."""

import logging
import os
import signal
import threading

logger = logging.getLogger(__name__)
LEAVE_SECONDS = 8.0
"""For the batch at hand. Orchestrators kill after 10 to 30 s; a kill loses nothing either."""


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; the loops then drain and leave.

    Nothing is logged in the handler: it may run amid a line, and nobody may be reading it.
    """
    stop, came = threading.Event(), list[int]()

    def on_signal(number: int, _: object) -> None:
        came.append(number)
        if len(came) == 1:  # not by stop: a second signal may come before it is set
            threading.Thread(target=_tell, args=(number,), name="stopping").start()
            for seconds, act in ((LEAVE_SECONDS, _leave), (LEAVE_SECONDS + 1.0, _end)):
                last = threading.Timer(seconds, act)
                last.daemon = True
                last.start()
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _tell(number: int) -> None:
    logger.info("stopping", extra={"signal": signal.Signals(number).name})


def _leave() -> None:
    """End the process while a call to Kafka or Redis has still not come back."""
    logger.warning("Kafka or Redis does not answer: leaving; what is not committed is learnt again")
    logging.shutdown()
    _end()


def _end() -> None:
    os._exit(0)

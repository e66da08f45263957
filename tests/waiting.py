"""Waiting for what another thread or process does: as long as it may take, and not longer."""

import time
from collections.abc import Callable


def wait_until(
    happened: Callable[[], object],
    seconds: float = 60.0,
    what: str | Callable[[], object] = "it has not happened",
) -> None:
    """Wait until `happened()`; raises TimeoutError that says what did not happen."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(0.05)

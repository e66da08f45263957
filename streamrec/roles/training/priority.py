"""Training takes what the other processes of its machine leave: no list waits for a refresh."""

import os
from contextlib import suppress
from pathlib import Path

LOWEST = 19
AUTOGROUP = Path("/proc/self/autogroup")


def stand_back() -> None:
    """Give this process, for good, the lowest priority of its machine.

    Linux shares a machine's time among sessions first (autogroup, sched(7)), so a process that has
    a session of its own lowers that too; one that shares it would lower others. In a container the
    weight of the container is what counts.
    """
    os.nice(LOWEST)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # no Linux, or a kernel without
            AUTOGROUP.write_text(str(LOWEST))

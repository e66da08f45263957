"""Runs the command line with one guard switched off, or with a fault at a chosen commit.

STREAMREC_TEST_SWITCH_OFF: commit_offset_check or high_water_check.
STREAMREC_TEST_FAULT: kill or pause; comes right before commit STREAMREC_TEST_COMMIT of this
process's user shards: their updates are flushed, their offset is not stored.
"""

import os
import signal
from typing import Any

from streamrec import cli
from streamrec.state.item_shard import ItemShard
from streamrec.transport.redis import store as store


def _switch_off(guard: str) -> None:
    if guard == "commit_offset_check":
        store.offset_matches = lambda stored, expected: True  # type: ignore[assignment]
    elif guard == "high_water_check":
        ItemShard.mark = lambda self, header: header.first  # type: ignore[method-assign]
    else:
        raise SystemExit(f"no guard is called {guard}")


def _add_fault(number: int, at_commit: int) -> None:
    real = store.Store.commit
    seen = 0

    def commit(self: store.Store, commit: Any) -> None:
        nonlocal seen
        if commit.shard.startswith("u") and commit.expected is not None:
            seen += 1
            if seen == at_commit:
                print(f"FAULT before the commit of {commit.shard} {commit.expected}", flush=True)
                os.kill(os.getpid(), number)
        real(self, commit)

    store.Store.commit = commit  # type: ignore[method-assign]


if guard := os.environ.get("STREAMREC_TEST_SWITCH_OFF"):
    _switch_off(guard)
if fault := os.environ.get("STREAMREC_TEST_FAULT"):
    numbers = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP}
    _add_fault(numbers[fault], int(os.environ.get("STREAMREC_TEST_COMMIT", "5")))
cli.main()

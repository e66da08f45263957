"""Runs the command line; `kill -9` comes right before or after one of the acts of `grow`.

STREAMREC_TEST_KILL is ACT:NUMBER:before or ACT:NUMBER:after; NUMBER counts acts of that name from
1. Acts are what changes anything in Redis or Kafka.
"""

import os
import re
import signal
from collections import Counter
from typing import Any

from kafka import KafkaAdminClient

from streamrec import cli
from streamrec.transport.redis.growing import NOTE, SEAL, SWITCH
from streamrec.transport.redis.store import Store

ACTS = {
    "marker": r"SET sr:growing NX$",
    "seal": r"EVAL SEAL",
    "clear": r"UNLINK \S*:grown:",
    "users": r"HSET \S*:grown:users$",
    "due": r"ZADD \S*:grown:due",
    "rings": r"HSET \S*:grown:rings$",
    "meta": r"HSET \S*:grown:meta$",
    "items": r"HSET \S*:grown:items$",
    "catalogue": r"HSET \S*:grown:catalogue$",
    "step": r"EVAL NOTE",
    "switch": r"EVAL SWITCH",
    "shards": r"SET sr:shards$",
    "done": r"DEL sr:growing$",
}
SCRIPTS = {NOTE: "NOTE", SEAL: "SEAL", SWITCH: "SWITCH"}


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Counts acts, and kills at the chosen one."""

    def __init__(self, act: str, number: str, moment: str) -> None:
        self.act, self.number, self.moment = act, int(number), moment
        self.seen: Counter[str] = Counter()

    def around(self, act: str, call: Any) -> Any:
        self.seen[act] += 1
        mine = act == self.act and self.seen[act] == self.number
        if mine and self.moment == "before":
            _kill()
        done = call()
        if mine:
            _kill()
        return done


def _act(call: tuple[Any, ...]) -> str:
    text = " ".join(SCRIPTS.get(part, part) for part in call if isinstance(part, str))
    return next((act for act, pattern in ACTS.items() if re.match(pattern, text)), "")


def _install(killer: Killer) -> None:
    run, create = Store.run, KafkaAdminClient.create_partitions

    def run_one(self: Store, calls: Any) -> Any:
        act = _act(calls[0]) if calls else ""
        return killer.around(act, lambda: run(self, calls))

    def create_one(self: KafkaAdminClient, *arguments: Any, **more: Any) -> Any:
        return killer.around("create", lambda: create(self, *arguments, **more))

    Store.run = run_one  # type: ignore[method-assign]
    KafkaAdminClient.create_partitions = create_one


if __name__ == "__main__":
    if chosen := os.environ.get("STREAMREC_TEST_KILL"):
        _install(Killer(*chosen.split(":")))
    cli.main()

"""What is polled at once is learnt in rounds: a shard that Redis does not take ends no other's."""

from collections.abc import Callable
from typing import Any

import pytest
from laws.spine import Spine
from laws.world import event, small

from streamrec.errors import StoreError
from streamrec.roles.learning import rounds
from streamrec.roles.learning.stage import ShardsInDoubt
from streamrec.settings.sections import Settings
from streamrec.transport.redis.keys import Commit
from streamrec.transport.redis.store import Store


def refuse_once(monkeypatch: pytest.MonkeyPatch, shard: str) -> None:
    """Let the next commit of a shard fail, as where its node does not answer."""
    real, refused = Store.commit, []

    def commit(self: Store, what: Commit) -> None:
        if what.shard == shard and not refused:
            refused.append(what)
            raise StoreError("no answer")
        real(self, what)

    monkeypatch.setattr(Store, "commit", commit)


def clicks(first: int, count: int) -> list[dict[str, Any]]:
    return [event(f"u{n % 5}", f"i{n * 7 % 23}", ts=n) for n in range(first, first + count)]


def test_updates_of_a_shard_whose_neighbour_fails_are_not_skipped(
    make_spine: Callable[[Settings, int], Spine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "ROUND_BYTES", 1)  # each record is a round
    spine = make_spine(small(), 2)
    for n in range(3):
        spine.send(clicks(40 * n, 40))
        spine.users.step()
    refuse_once(monkeypatch, "i0")
    with pytest.raises(ShardsInDoubt) as doubt:
        spine.items.step()
    spine.items._start_over(doubt.value)
    spine.items._waiting = dict.fromkeys(spine.items._waiting, 0.0)
    spine.learn(clicks(120, 40))  # a GapError where a record was skipped
    for shard in ("i0", "i1"):
        assert spine.store.meta(shard)[b"marks"] == b'{"u0": 160}'

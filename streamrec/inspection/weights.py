"""What the blend has learnt, from the state in Redis as it is now."""

from collections.abc import Sequence

import msgspec

from streamrec.blend.learned import BUCKETS, LearnedBlend
from streamrec.blend.rules import BLEND_KEY, blend_owner, blend_rules
from streamrec.ranking.lists import ListMaker
from streamrec.settings.sections import Settings
from streamrec.transport.redis.store import Store


class Weights(msgspec.Struct):
    """The learned blend's state, for people."""

    leads: str
    samples: int
    linear: dict[str, dict[str, float]]  # source or extra -> history bucket -> weight
    importance: dict[str, float]  # loss gained by shuffling the source among the candidates
    loss: dict[str, float]  # 1 - mean reciprocal rank of late, of the blend and each source


def weights_now(settings: Settings, store: Store) -> Weights | None:
    """Return the weights in force; None before the first click is learnt from."""
    owner = f"i{blend_owner(store.known_shards().items)}"
    blob = store.rows(owner, "blend", [BLEND_KEY])[0]
    learned = LearnedBlend.from_bytes(blob, blend_rules(settings)) if blob else None
    return weights_of(settings, learned) if learned else None


def weights_of(settings: Settings, learned: LearnedBlend) -> Weights:
    """Return the state in words and numbers; sources that are off are left out."""
    lists = ListMaker(settings)
    sources, names = lists.names, (*lists.names, *lists.extras)
    off = {n for n, on in zip(sources, lists.mixture.roster.active, strict=True) if not on}
    buckets = ["0", *(f"{low}+" for low in BUCKETS)]
    linear = {
        name: {
            bucket: round(float(learned.linear[0, k] + learned.linear[1 + b, k]), 4)
            for b, bucket in enumerate(buckets)
        }
        for k, name in enumerate(names)
        if name not in off
    }
    seen = max(1e-9, float(learned.seen[1]))
    losses = (learned.losses / seen).round(4).tolist()
    leader = learned.leader()
    return Weights(
        "blend" if leader < 0 else sources[leader],
        int(learned.seen[0]),
        linear,
        _but(off, sources, learned.importance.round(4).tolist()),
        _but(off, ("blend", *sources), losses),
    )


def _but(off: set[str], names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {name: value for name, value in zip(names, values, strict=True) if name not in off}

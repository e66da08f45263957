"""Where the learned blend's row lies, and the rules that its settings make."""

from streamrec.blend.learned import BlendRules
from streamrec.settings.sections import Settings
from streamrec.sources.registry import SOURCES
from streamrec.state.keys import key_of

BLEND_KEY = key_of("~blend").to_bytes(8, "little")
"""Field of the blend's row, and by its number modulo the partitions, its owner."""


def blend_owner(item_partitions: int) -> int:
    """Return the number of the item shard that owns the blend's row."""
    return int.from_bytes(BLEND_KEY, "little") % item_partitions


def blend_rules(settings: Settings) -> BlendRules:
    """Return the rules of the learned blend."""
    blend = settings.blend
    return BlendRules(
        tuple(blend.weights.get(s, 0.0) for s in SOURCES),
        tuple(s in blend.pinned for s in SOURCES),
        blend.hidden,
        blend.rate,
        blend.network_rate,
        seed=settings.factors.seed,
    )

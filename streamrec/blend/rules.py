"""Where the learned blend's row lies, and the rules that its settings make."""

import numpy as np
from numpy.typing import NDArray

from streamrec.blend.learned import EXTRAS, BlendRules
from streamrec.settings.sections import Settings
from streamrec.sources.popularity import LOG_FLOOR
from streamrec.sources.registry import SOURCES, sources_of
from streamrec.sources.repeats import FACTS, gap_ms
from streamrec.state.keys import field_of, owner_of

BLEND_KEY = field_of("~blend")
"""Field of the blend's row, and by its number modulo the partitions, its owner."""
ALL_EXTRAS = (*EXTRAS, *FACTS)


def blend_owner(item_partitions: int) -> int:
    """Return the number of the item shard that owns the blend's row."""
    return owner_of(BLEND_KEY, item_partitions)


def weights_of(settings: Settings) -> NDArray[np.float32]:
    """Return float32[M], blend.weights by source; one from outside need not be named there."""
    given = settings.blend.weights
    own = {s.name: 0.0 if type(s) in SOURCES else s.weight for s in sources_of(settings)}
    return np.array([given.get(name, start) for name, start in own.items()], np.float32)


def silence_of(settings: Settings) -> NDArray[np.float32]:
    """Return float32[M]: the least log share, or no score, of a source that says nothing."""
    sources = sources_of(settings)
    return np.array([LOG_FLOOR if s.in_blend == "share" else 0.0 for s in sources], np.float32)


def extras_of(settings: Settings) -> tuple[str, ...]:
    """Return the names of the extras: those of repeats too, where lists hold any."""
    return ALL_EXTRAS if gap_ms(settings) else EXTRAS


def blend_rules(settings: Settings) -> BlendRules:
    """Return the rules of the learned blend."""
    blend, sources = settings.blend, sources_of(settings)
    return BlendRules(
        tuple(weights_of(settings).tolist()),
        tuple(s.name in blend.pinned for s in sources),
        tuple(silence_of(settings).tolist()),
        blend.hidden,
        blend.rate,
        blend.network_rate,
        seed=settings.factors.seed,
        extras=len(extras_of(settings)),
    )

"""Profiles: settings that go together for one kind of site; whatever is set explicitly wins.

Chosen on the first 30 % of public logs (docs/evaluation.md), the same for all logs of a kind.
"""

from typing import Any, Literal

Profile = Literal["general", "catalogue", "shop", "news"]

PROFILES: dict[Profile, dict[str, Any]] = {
    # small and quick, for when nothing is known
    "general": {},
    # films, books, courses: taken once, tastes last
    "catalogue": {
        "similarity.half_life_seconds": 0.0,
        "cosine.neighbours": 400,
        "successors.entries": 256,
        "factors.negatives": 60,
        "blend.rate": 0.1,
        "batches.max_events": 1000,
    },
    # baskets: people take things again, and together
    "shop": {
        "lists.exclude": "none",
        "users.recent_items": 200,
        "similarity.half_life_seconds": 2_592_000.0,
        "successors.entries": 256,
    },
    # articles: born today, gone tomorrow
    "news": {
        "lists.exclude": "session",
        "similarity.half_life_seconds": 3600.0,
        "successors.entries": 512,
        "factors.context_norm": 0.5,
        "factors.prior": 1.0,
    },
}

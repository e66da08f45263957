"""Profiles: settings that go together for one kind of site; whatever is set explicitly wins.

Chosen on the first 30 % of public logs (docs/evaluation.md), the same for all logs of a kind; but
`durable` without a log.
"""

from typing import Any, Literal

Profile = Literal["general", "catalogue", "durable", "shop", "news"]

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
    # clothes, electronics: looked at often, bought once, tastes change with the season
    "durable": {
        "lists.exclude": "session",
        "places": {
            "home": {
                "exclude": {
                    "purchase": "180 days",
                    "cart": "7 days",
                    "view": "session",
                    "click": "session",
                }
            }
        },
        "similarity.half_life_seconds": 2_592_000.0,
        "successors.entries": 256,
    },
    # baskets: people take things again, and together
    "shop": {
        "lists.exclude": "none",
        "users.recent_items": 200,
        "similarity.half_life_seconds": 2_592_000.0,
        "successors.entries": 256,
        "variants.items": 32,
        "factors.text_weight": 2.0,
        "neural.passes": 7.0,
        "neural.shrinkage": 1.0,
    },
    # articles: born today, gone tomorrow
    "news": {
        "lists.exclude": "session",
        "similarity.half_life_seconds": 3600.0,
        "successors.entries": 512,
        "factors.context_norm": 0.5,
        "factors.prior": 1.0,
        "neural.passes": 5.0,
        "neural.refresh_samples": 1500,
    },
}

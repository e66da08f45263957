"""The sources: what proposes candidates. Their order is the order of all arrays over sources."""

SOURCES = (
    "popularity_short",
    "popularity_medium",
    "popularity_long",
    "similarity",
    "cosine",
    "successors",
    "factors",
    "content",
    "repeats",
    "segment",
)
(
    POPULARITY_SHORT,
    POPULARITY_MEDIUM,
    POPULARITY_LONG,
    SIMILARITY,
    COSINE,
    SUCCESSORS,
    FACTORS,
    CONTENT,
    REPEATS,
    SEGMENT,
) = range(len(SOURCES))
SEGMENT_PREFIX = "\x1f"
"""A segment's popularity lies in a row of its own, as the neighbours of an item that nobody can
take: its id begins with a control character, which item ids may not hold."""
EXTRAS = ("age", "recent", "nearness", "takes", "in_session", "newest")
"""Facts of a candidate that are no source: log(1 + age in hours) of the item; and of the user's own
history: is it in the recent items, 1 / its place there, log(1 + takes), taken in this session, the
newest of all."""

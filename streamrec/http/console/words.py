"""Sources and reasons in words, for people who have not read the documentation."""

from collections.abc import Sequence

from streamrec.blend.rules import ALL_EXTRAS

MEANINGS = {
    "similarity": "what follows",
    "cosine": "same long history",
    "successors": "people like you",
    "factors": "taste",
    "content": "alike by text",
    "repeats": "taken before",
    "segment": "your segment",
    "variants": "the same by another maker",
    "popularity_short": "popular now",
    "popularity_medium": "popular lately",
    "popularity_long": "popular for long",
    "neural": "neural ranker",
    "network": "blend's network",
    "age": "age of the item",
    "recent": "in your history",
    "nearness": "how recently",
    "takes": "how often",
    "in_session": "in this session",
    "newest": "your latest",
    "since": "how long ago",
    "due": "due again",
    "again": "taken again by people",
    "rules": "boosts and rotation",
    "blend": "the blend",
    "popularity": "popularity",
    "facts": "other facts",
}
WITH_PAST = {
    "similarity": "Often follows {}",
    "cosine": "Taken by the people who took {}",
    "successors": "Taken of late by people who took {}",
    "factors": "Fits the taste that shows in {}",
    "content": "Reads like {}",
    "repeats": "Taken before, and people take it again",
    "variants": "Another one of {}",
    "neural": "The neural ranker puts it here after {}",
}
WITHOUT = {
    "segment": "Popular in this person's segment",
    "popularity_short": "Popular right now",
    "popularity_medium": "Popular lately",
    "popularity_long": "Popular for a long time",
    "repeats": "Taken before, and people take it again",
}


def meaning(source: str) -> str:
    """Return what a source, or another part of a score, stands for; its name if it is a new one."""
    return MEANINGS.get(source, source)


def group(source: str) -> str:
    """Return under which name a part's share is told: popularity and small facts are one each."""
    if source.startswith("popularity_"):
        return "popularity"
    return "facts" if source in ALL_EXTRAS else source


def reason(source: str, because: Sequence[str], *, again: bool = False) -> str:
    """Return why an item is listed; `because`: titles of past items; again: the item is of them."""
    if again:
        return WITHOUT["repeats"]
    if because:
        past = " and ".join(f"“{title}”" for title in because)
        return WITH_PAST.get(source, "Speaks for it: {}").format(past)
    return WITHOUT.get(source, "Fits all that was taken so far")

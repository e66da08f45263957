"""Settings of the learners, the sources and the blend; the other sections are in config.py."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamrec.settings.types import Count, Length, NonNegative, Positive, Section, Share, Size


class PopularitySettings(Section, frozen=True, kw_only=True):
    """Exponentially decayed popularity."""

    half_lives_seconds: tuple[Positive, Positive, Positive] = (900.0, 14_400.0, 604_800.0)
    """Three half-lives: what is hot now, today, this week."""


class SimilaritySettings(Section, frozen=True, kw_only=True):
    """Directed, rank-weighted, decayed co-occurrence."""

    window: Annotated[int, Meta(ge=1, le=127)] = 5
    """Earlier items of the user that are paired with a new one; the b-th newest gets weight 1/b."""
    reverse_weight: NonNegative = 0.5
    """Weight of the pair in the other direction."""
    neighbours: Length = 100
    """Neighbours kept for an item; a list grows to twice that before it is pruned."""
    half_life_seconds: NonNegative = 604_800.0
    """Half-life of the counts; 0: none."""
    prior: NonNegative = 10.0
    """Counts of evidence given to popularity: an item with few pairs says little."""


class CosineSettings(Section, frozen=True, kw_only=True):
    """Symmetric co-occurrence over long histories, normalised like a cosine."""

    window: Annotated[int, Meta(ge=1, le=127)] = 50
    """Earlier items of the user that are paired with a new one; the b-th newest weighs b^-1/2."""
    neighbours: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Neighbours kept for an item, with the same slack of two; 0 switches this learner off."""
    half_life_seconds: NonNegative = 0.0
    """Half-life of the counts; 0: none."""


class SuccessorSettings(Section, frozen=True, kw_only=True):
    """Session and user neighbours: rings of what users took around an item lately."""

    window: Annotated[int, Meta(ge=1, le=127)] = 5
    """Earlier items of the user whose rings learn of a new one."""
    entries: Annotated[int, Meta(ge=0, le=4096)] = 64
    """Entries in an item's ring; 0 switches this learner off."""


class ContentSettings(Section, frozen=True, kw_only=True):
    """Titles, categories and texts of items, as hashed TF-IDF vectors."""

    size: Annotated[int, Meta(ge=0, le=1024)] = 64
    """Length of an item's vector; 0 switches this source off."""


class FactorSettings(Section, frozen=True, kw_only=True):
    """Online matrix factorisation (session-FISM), split over the two stages."""

    size: Size = 64
    """Length of a factor vector."""
    negatives: Size = 20
    """Negatives drawn for an event."""
    context: Size = 8
    """Newest items of the user that make up the user's vector."""
    context_decay: Annotated[float, Meta(gt=0, le=1)] = 0.7
    """Weight of the b-th newest item is this to the power b-1, normalised."""
    context_norm: Share = 1.0
    """The user's vector is the context's weighted sum over the sum of weights to this power."""
    prior: NonNegative = 0.0
    """Weight of an item's log popularity in its score, in learning and in lists; 1 suits news."""
    prior_half_life: Literal["short", "medium", "long"] = "short"
    """Which half-life that popularity has."""
    learning_rate: Positive = 0.1
    """Row-wise Adagrad step."""
    uniform_share: Share = 0.25
    """Share of negatives drawn uniformly over all items; the rest come from the latest events."""
    ring: Size = 5000
    """Latest events of a partition that negatives are drawn from."""
    seed: Count = 1
    """Seed of the initial vectors and of the draws."""


class BlendSettings(Section, frozen=True, kw_only=True):
    """How the sources' opinions become one list."""

    weights: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            "popularity_short": 0.05,
            "popularity_medium": 0.02,
            "popularity_long": 0.1,
            "similarity": 0.4,
            "cosine": 0.3,
            "successors": 0.1,
            "factors": 1.0,
        }
    )
    """Weight of each source's log share; the learned blend starts from these."""
    kind: Literal["learned", "weighted", "cascade", "vote", "borda"] = "learned"
    """learned from clicks; weighted, as above; cascade, vote or borda, by the sources' ranks."""
    reorder: str = ""
    """Source by whose value a cascade orders what each source proposes; "": by their own ranks."""
    sample: Share = 0.25
    """Share of the published lists that the learned blend may learn from: they take 15 kB each."""
    event_weights: dict[str, float] = {}
    """Weight of each event type in the learned blend's loss, 1 if not named; 0: not learnt."""
    off: tuple[str, ...] = ()
    """Sources that take no part, whatever their weight."""
    pinned: tuple[str, ...] = ()
    """Sources whose weight above the learned blend does not change."""
    hidden: Annotated[int, Meta(ge=1, le=256)] = 32
    """Hidden units of the learned blend's network."""
    rate: Positive = 0.05
    """Adagrad step of the learned linear weights."""
    network_rate: NonNegative = 0.002
    """RMS-normalised step of the network; 0: linear only."""
    candidates: Annotated[int, Meta(ge=1, le=500)] = 50
    """Items each source proposes."""

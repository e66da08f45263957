"""Settings of the neural ranker."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streamrec.settings.types import Count, NonNegative, Positive, Section, Share, Size

TRAINS_WITH = ("torch", "river")
"""What `train` needs of the extra `neural`; all else runs without."""


class NeuralSettings(Section, frozen=True, kw_only=True):
    """The neural ranker: trained by `train`, served by `score`; needs the learned blend."""

    on: bool = True
    """Whether lists are ranked by the network that `train` has promoted, where there is one."""
    tasks: dict[str, float] = msgspec.field(default_factory=lambda: {"any": 1.0, "purchase": 0.5})
    """Weight of each task in the loss: `any` event, or a type; the first one orders the lists."""
    task_seconds: Positive = 86_400.0
    """An event teaches a task if the list that held its item is no older than this."""
    sample_bytes_per_second: NonNegative = 10_000.0
    """Of lists whose reading all scorers keep for `train`, 6 kB each, for task_seconds; 0: none."""
    candidates: Annotated[int, Meta(ge=2, le=255)] = 80
    """The blend's best, which the network orders anew."""
    history: Annotated[int, Meta(ge=1, le=100)] = 24
    """Newest past items that it reads."""
    units: Annotated[int, Meta(ge=1, le=128)] = 16
    """Units of a pair of candidate and past item."""
    hidden: Annotated[int, Meta(ge=1, le=512)] = 64
    """Units of a candidate."""
    passes: Positive = 3.0
    """Training steps of a refresh, as passes over its new samples."""
    rate: Positive = 0.002
    """AdamW step."""
    shrinkage: Share = 0.75
    """Part of the network's move of the scores that serves: some of what it learns is noise."""
    refresh_samples: Annotated[int, Meta(ge=100)] = 2500
    """New samples after which the network is refreshed; sooner while there are few in all."""
    replay_samples: Annotated[int, Meta(ge=1000)] = 50_000
    """Samples kept for training: half of each refresh is drawn from them. 6 kB each."""
    scratch_every: Count = 20
    """Refreshes between two networks trained from nothing, as a check; 0: none."""
    gate_periods: Annotated[int, Meta(ge=1, le=100)] = 4
    """The network serves while it gains over the blend, summed over so many periods."""
    threads: Size = 1
    """Threads of a training step on a CPU; more than one may round differently."""
    seed: Count = 1
    """Seed of the first weights and of the draws."""

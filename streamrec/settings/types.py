"""What all sections of the settings are made of."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1)]
Topic = Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9._-]{1,249}\Z")]
RedisUrl = Annotated[str, Meta(pattern=r"\A(redis|rediss|unix|rediss?\+sentinel)://.")]
Size = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Length = Annotated[int, Meta(ge=1, le=1000)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


Settings = TypeVar("Settings", bound=msgspec.Struct)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, named fields only, unknown keys refused."""


def changed(settings: Settings, **sections: Mapping[str, Any]) -> Settings:
    """Return the settings, of which these values of sections are others."""
    replace = msgspec.structs.replace
    own = {name: replace(getattr(settings, name), **values) for name, values in sections.items()}
    return replace(settings, **own)

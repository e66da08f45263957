"""The settings of a call: a profile, single settings by name, a seed; no file, no environment."""

from collections.abc import Mapping

from streamrec.settings.load import of_values
from streamrec.settings.sections import Settings
from streamrec.settings.text import resolved
from streamrec.settings.types import changed

DEFAULT_TYPE = "click"
"""Of events that name none."""


def configured(
    profile: str, given: Mapping[str, object] | None = None, seed: int | None = None
) -> Settings:
    """Return the settings; given: by dotted name, as {"lists.exclude": "user"}.

    Neither streamrec.toml nor the environment is read. Raises ConfigurationError.
    """
    values: dict[str, object] = {"profile": profile} if profile else {}
    values |= given or {}
    if seed is not None:
        values["factors.seed"] = seed
    settings: Settings = resolved(of_values(values))
    kind = settings.events.default_type or DEFAULT_TYPE
    return changed(settings, events={"default_type": kind})

"""The section of the logs."""

from typing import Literal

from streamrec.settings.types import Section


class LoggingSettings(Section, frozen=True, kw_only=True):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """debug, info, warning or error."""
    format: Literal["text", "json"] = "text"
    """text, or json: one object a line."""
    trace_user: str = ""
    """Tell at level debug what becomes of this user's events and lists, in `learn` and `score`."""

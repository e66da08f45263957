"""The encoder of texts, and what `auto` means on this machine."""

from typing import Any

from streamrec.settings.types import Name, Section, changed
from streamrec.text.encoder import AUTO, HASHED, MINILM, minilm_is_installed


class TextSettings(Section, frozen=True, kw_only=True):
    """How titles, categories and texts of items become vectors (docs/text.md)."""

    model: Name = AUTO
    """minilm, hashed, a folder, a model of sentence-transformers; auto: minilm if installed."""

    def hashed(self) -> bool:
        """Say whether there is no encoder; the commands replace auto by what is installed."""
        return self.model in (HASHED, AUTO)


def resolved(settings: Any) -> Any:
    """Return the settings with the encoder that auto stands for here."""
    if settings.text.model != AUTO:
        return settings
    return changed(settings, text={"model": MINILM if minilm_is_installed() else HASHED})

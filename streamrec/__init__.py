"""streamrec: a streaming recommender that learns from every click while it runs.

As a library (docs/library.md): `evaluate` and `Recommender`, loaded when they are first named.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamrec.errors import StreamrecError
    from streamrec.library.evaluate import evaluate
    from streamrec.library.recommender import Recommender
    from streamrec.library.result import Result

__version__ = "0.1.0"
__all__ = ["Recommender", "Result", "StreamrecError", "__version__", "evaluate"]
_PLACES = {
    "Recommender": "streamrec.library.recommender",
    "Result": "streamrec.library.result",
    "StreamrecError": "streamrec.errors",
    "evaluate": "streamrec.library.evaluate",
}


def __getattr__(name: str) -> Any:
    """Import what is named for the first time (PEP 562): `import streamrec` alone stays quick."""
    if name not in _PLACES:
        raise AttributeError(f"module 'streamrec' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

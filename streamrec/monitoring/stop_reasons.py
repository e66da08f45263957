"""Why a shard stops for a person, as a closed set of words."""

from streamrec.errors import StreamrecError

FOR_A_PERSON = (65, 78)
"""Exit codes of faults that come again until a person acts."""
OTHER = "other"


def reason_of(error: BaseException) -> str:
    """Return the word for an error."""
    name = type(error).__name__
    return name if name in stop_reasons() else OTHER


def stop_reasons() -> tuple[str, ...]:
    """Return all words: the errors that need a person, by name, and `other`."""
    below, found = [StreamrecError], {OTHER}
    while below:
        kind = below.pop()
        below += kind.__subclasses__()
        if kind.exit_code in FOR_A_PERSON:
            found.add(kind.__name__)
    return tuple(sorted(found))

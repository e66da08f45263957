"""What `streamrec.evaluate` returns."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamrec.errors import ConfigurationError
from streamrec.evaluation.intervals import Interval, interval
from streamrec.evaluation.report.findings import Findings
from streamrec.evaluation.tally import MAIN, METRICS, values_of
from streamrec.library.given import Refused
from streamrec.library.tables import like


class Result:
    """How good the lists were: figures, intervals, a page."""

    def __init__(
        self,
        figures: dict[str, Any],
        places: Mapping[str, Any],
        refused: tuple[Refused, ...],
        events: Any,
    ) -> None:
        self.figures = figures
        """What `streamrec evaluate --json` writes (docs/evaluation.md)."""
        self.places = places
        """By list, float32[scored]: the place of each event's item, 0 best; inf: a miss."""
        self.refused = refused
        """Rows that were left out, the first 1,000 of events and of items."""
        self._rows = [{"list": name, **one} for name, one in figures["sources"].items()]
        self._table = like(events, _even(self._rows))

    def __repr__(self) -> str:
        return " ".join([*Findings(self.figures).opening()][:1]) or "Result of nothing scored"

    @property
    def table(self) -> Any:
        """One row a list and one column a metric: a frame of the events' kind, else dicts."""
        return self._table

    def interval(self, a: str, b: str, metric: str = MAIN) -> Interval:
        """Return by how much list `a` is ahead of `b`, with its 95 % interval.

        Paired, over blocks of neighbouring events (docs/evaluation.md). Lists are called as in
        `table`; of a peer the name alone will do. Raises ConfigurationError.
        """
        if metric not in METRICS:
            raise ConfigurationError(f"metric {metric!r} is none of {', '.join(METRICS)}.")
        first, second = (values_of(metric, self.places[self._named(n)]) for n in (a, b))
        return interval(first, second)

    def report(self, path: str | Path) -> Path:
        """Write one HTML page with plots, and return where; needs the extra `report`."""
        file, render = Path(path), renderer("report")
        try:
            file.write_text(render(self.figures), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"Cannot write {file}: {error.strerror}.") from None
        return file

    def _named(self, name: str) -> str:
        for full in (name, f"peer:{name}", f"blend:{name}"):
            if full in self.places:
                return full
        raise ConfigurationError(f"{name!r} is none of {', '.join(self.places)}.")


def renderer(asker: str) -> Callable[[Mapping[str, Any]], str]:
    """Return what makes a page of figures; raises ConfigurationError where an extra is missing."""
    try:
        from streamrec.evaluation.report.render import render
    except ImportError as error:
        raise ConfigurationError(
            f"{asker} needs {error.name}, which is not installed: pip install 'streamrec[report]'."
        ) from None
    return render


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that all have the same keys; peers have fewer metrics."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]

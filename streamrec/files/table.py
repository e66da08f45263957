"""The rows of a file as columns, and the account of the rows that are refused."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from streamrec.errors import ConfigurationError, RowsRefused
from streamrec.events.checks import dig
from streamrec.files.cells import Column, Reasons, absent, listed
from streamrec.files.reading import Fields, Reading


class Table(NamedTuple):
    """What a format's reader returns."""

    file: Path
    names: Sequence[str]
    columns: dict[str, Column]
    """Those that were asked for, of `rows` cells each."""
    rows: int
    word: str
    """What the file's own numbers count: lines, or rows."""
    numbers: Callable[[], Sequence[int]]
    """Returns the number of each row in the file; a file of text is only then gone through."""
    broken: Reasons
    """By number, what is no row at all."""
    untyped: bool = False
    """All cells are text, whatever they were before."""
    spaced: Collection[str] = ()
    """Columns of several words with blanks between them."""

    def column(self, path: str) -> Column | None:
        """Return the column of this name or, where a path leads into cells, what is there."""
        head, _, rest = path.partition(".")
        if path not in self.columns and rest and head in self.columns:
            cells = [dig(cell, rest) for cell in listed(self.columns[head])]
            if not all(map(absent, cells)):
                self.columns[path] = cells
        return self.columns.get(path)

    def choose(
        self, fields: Fields, needed: Collection[str], reading: Reading, option: str
    ) -> dict[str, str]:
        """Return the column for each of our fields that the file has.

        option: how a column is named, with FIELD in the place of ours.
        """
        chosen = {}
        for ours, names in reading.looked_for(fields).items():
            name = next((name for name in names if self.column(name) is not None), None)
            if name is not None:
                chosen[ours] = name
            elif self.rows and (ours in needed or ours in reading.columns):
                raise ConfigurationError(
                    f"{self.file} has no column {' or '.join(names)} for the {ours}. "
                    f"Columns found: {', '.join(self.names) or 'none'}. "
                    f"Name it: {option.replace('FIELD', ours)}."
                )
        return chosen

    def settle(self, wrong: Reasons, reading: Reading, what: str, advice: str = "") -> str:
        """Return the count of rows, of `what`, and of refused rows with the reasons.

        `wrong` are rows that do not hold what they should. Raises RowsRefused, with `advice`, where
        more are refused than may be.
        """
        total, refused = self.rows + len(self.broken), len(wrong) + len(self.broken)
        words = f"{self.file.name}: {total:,} rows, {what}, {refused:,} refused"
        if not refused:
            return words
        numbers = self.numbers()
        reasons = {**self.broken, **{numbers[row]: why for row, why in wrong.items()}}
        first = min(reasons)
        counts = Counter(why.reason for why in reasons.values()).most_common()
        by_reason = ", ".join(f"{count:,} {reason}" for reason, count in counts)
        if reading.allows(refused, total):
            return f"{words}: {by_reason} (the first: {self.word} {first}, {reasons[first].detail})"
        way_out = " --skip-refused leaves them out." if refused < total else ""
        raise RowsRefused(
            f"{self.file}, {self.word} {first}: {reasons[first].detail}. "
            f"Refused are {refused:,} of {total:,} rows: {by_reason}.{way_out}{advice}"
        )

"""`streamrec export`: what Redis holds, as sorted JSON lines that any tool can compare.

With `--user`: what it holds of one user.
"""

import heapq
import itertools
import json
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from streamrec.commands.options import settings_of

RUN_LINES = 100_000


def export(
    ctx: typer.Context,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write everything into.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="Print what is known of one user.")
    ] = None,
) -> None:
    """Write the state in Redis as JSON lines, or what is known of one user as JSON."""
    if (state is None) == (user is None):
        raise typer.BadParameter("give --state DIR or --user USER")
    settings = settings_of(ctx)
    from streamrec.inspection.known_user import known_of
    from streamrec.inspection.stored_state import Stored, lines_of

    if user is not None:
        with closing(Stored(settings.redis)) as stored:
            print(json.dumps(known_of(stored, settings, user), ensure_ascii=False, indent=2))
        return
    assert state is not None
    state.mkdir(parents=True, exist_ok=True)
    with closing(Stored(settings.redis)) as stored:
        for name, lines in lines_of(stored, settings):
            _write(state / f"{name}.jsonl", lines)


def _write(path: Path, found: Iterable[dict[str, Any]]) -> None:
    """Write rows as sorted lines, equal ones once: a scan of Redis may return a row twice.

    Sorted runs of 100,000 lines go to temporary files beside the result and are merged.
    """
    lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in found)
    with ExitStack() as files:
        runs: list[IO[str]] = []
        while piece := sorted(itertools.islice(lines, RUN_LINES)):
            run = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=path.parent)
            runs.append(files.enter_context(run))
            run.writelines(piece)
            run.seek(0)
        out = files.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        out.writelines(line for line, _ in itertools.groupby(heapq.merge(*runs)))

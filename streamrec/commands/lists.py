"""`streamrec lists export`: every user's list as rows of one file, for mails."""

import gc
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from streamrec.commands.options import say, settings_of
from streamrec.commands.progress import with_progress
from streamrec.settings.places import HOME

BATCH = 2_000


def export(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help=".parquet, .jsonl or .csv.")],
    place: Annotated[str, typer.Option(help="The lists of this place.")] = HOME,
) -> None:
    """Write the lists of all users to one file: a row for each item of a list."""
    settings = settings_of(ctx)
    from streamrec.files.writing import table_file
    from streamrec.inspection.stored_lists import COLUMNS, rows_of, stored_lists, stored_titles
    from streamrec.settings.place_rules import known_place
    from streamrec.transport.redis.hidden import hidden_items
    from streamrec.transport.redis.store import Store

    known_place(settings, place)
    started = time.monotonic()
    lists = rows = empty = 0
    gc.disable()  # many small objects without cycles: looking for some took two thirds of the time
    try:
        with closing(Store(settings.redis)) as store, table_file(out, COLUMNS) as write:
            titles, hidden = stored_titles(store), hidden_items(store)
            each = with_progress(stored_lists(store, place), None, "lists")
            while some := list(islice(each, BATCH)):
                found = [rows_of(one, titles, hidden) for one in some]
                if together := [row for each_list in found for row in each_list]:
                    write(together)
                lists, rows = lists + len(some), rows + len(together)
                empty += sum(not each_list for each_list in found)
    finally:
        gc.enable()
    seconds = time.monotonic() - started
    print(f"{lists:,} lists, {rows:,} rows, to {out} in {seconds:.1f} s")
    if empty:
        say(f"{empty:,} lists are empty: their users have no row.")

"""`streamrec items load`: a file's items go to Kafka, those that are not stored yet as they are."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.commands.options import (
    EXIT_REFUSED,
    ItemColumns,
    MaxRefused,
    NoHeader,
    Separator,
    SkipRefused,
    end,
    reading_of,
    say,
    settings_of,
)
from streamrec.commands.progress import with_progress
from streamrec.errors import ConfigurationError, RowsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamrec.events.event import Item
    from streamrec.replay.catalogue import Difference
    from streamrec.settings.sections import KafkaSettings, RedisSettings

FLUSH_EVERY = 10_000


def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON lines or Parquet.")],
    delete_missing: Annotated[
        bool,
        typer.Option("--delete-missing", help="Stored items that the file lacks: no longer shown."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is different.")] = False,
    item_columns: ItemColumns = "",
    separator: Separator = "",
    no_header: NoHeader = False,
    max_refused: MaxRefused = "0",
    skip_refused: SkipRefused = False,
) -> None:
    """Send a file's items to Kafka: those that are new, or not as they are stored.

    Ends with 65 if any row was refused, unless --skip-refused is given.
    """
    settings = settings_of(ctx)
    from streamrec.files.items import read_counted
    from streamrec.replay.catalogue import withdrawn

    reading = reading_of(
        settings.items.mapping, item_columns, separator=separator, no_header=no_header,
        max_refused=max_refused, skip_refused=skip_refused,
    )  # fmt: skip
    items, refused = read_counted(file, reading, say)
    if not items:
        raise ConfigurationError(f"{file} has no items.")
    if delete_missing and refused:
        raise RowsRefused(
            f"--delete-missing needs all rows of {file}: items of refused ones would count as gone."
        )
    found = _compared(settings.redis, items)
    print(found)
    sending = [*found.new, *found.changed]
    sending += map(withdrawn, found.gone) if delete_missing else ()
    if found.gone and not delete_missing:
        say("Those that are gone stay: --delete-missing makes them unavailable.")
    if not dry_run:
        _send(settings.kafka, sending)
    if refused and not skip_refused:
        end(EXIT_REFUSED)


def _compared(redis: "RedisSettings", items: "Mapping[str, Item]") -> "Difference":
    """Compare with what Redis holds: nothing, before the first learn process."""
    from streamrec.replay.catalogue import difference
    from streamrec.transport.redis_keys import item_shards
    from streamrec.transport.redis_store import Store

    with closing(Store(redis)) as store:
        shards = store.shards()
        names = [] if shards is None else item_shards(shards)
        rows = (row for name in names for _, row in store.scan(name, "catalogue"))
        return difference(items, with_progress(rows, None, "stored items read"))


def _send(kafka: "KafkaSettings", items: "Sequence[Item]") -> None:
    import msgspec

    from streamrec.transport.open_kafka import open_kafka

    topic = kafka.items_topic
    with closing(open_kafka(kafka)) as log:
        log.partitions(topic)  # raises where there is no such topic
        for n, item in enumerate(with_progress(items, len(items), "items")):
            log.produce(topic, msgspec.json.encode(item), key=item.item.encode())
            if n % FLUSH_EVERY == FLUSH_EVERY - 1:
                log.flush()
        log.flush()
    print(f"sent {len(items):,} to {topic}")

"""`streamrec items load`: a file's items go to Kafka, those that are not stored yet as they are."""

import time
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
from streamrec.errors import ConfigurationError, NotLearnt, RowsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamrec.events.event import Item
    from streamrec.inspection.stored_state import Stored
    from streamrec.replay.catalogue import Difference
    from streamrec.settings.sections import KafkaSettings, Settings

FLUSH_EVERY = 10_000
POLL_SECONDS = 0.25


def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON lines or Parquet.")],
    delete_missing: Annotated[
        bool,
        typer.Option("--delete-missing", help="Stored items that the file lacks: no longer shown."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is different.")] = False,
    timeout: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait until what was sent before is learnt; 0: none."),
    ] = 60.0,
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
    found = _compared(settings, items, timeout)
    print(found)
    sending = [*found.new, *found.changed]
    sending += map(withdrawn, found.gone) if delete_missing else ()
    if found.gone and not delete_missing:
        say("Those that are gone stay: --delete-missing makes them unavailable.")
    if not dry_run:
        _send(settings.kafka, sending)
    if refused and not skip_refused:
        end(EXIT_REFUSED)


def _compared(settings: "Settings", items: "Mapping[str, Item]", timeout: float) -> "Difference":
    """Compare with what Redis holds: nothing, before the first learn process."""
    from streamrec.inspection.stored_state import Stored
    from streamrec.replay.catalogue import difference
    from streamrec.transport.redis.store import Store

    with closing(Store(settings.redis)) as store:
        if store.shards() is None:
            return difference(items, ())
    with closing(Stored(settings.redis)) as stored:
        _wait(settings.kafka, stored, timeout)
        rows = (row for _, row in stored.rows("i", "catalogue"))
        return difference(items, with_progress(rows, None, "stored items read"))


def _wait(kafka: "KafkaSettings", stored: "Stored", timeout: float) -> None:
    """Wait until Redis holds what was sent before: an item sent since would look as it was."""
    from streamrec.inspection.sent_items import sent_until_now, unlearnt
    from streamrec.transport.kafka.log_identity import check_same

    check_same(stored.shards, kafka)
    deadline = time.monotonic() + timeout
    sent = sent_until_now(kafka, stored)
    left = unlearnt(stored, sent)
    if left:
        say(f"{left:,} messages of {kafka.items_topic} are not learnt yet.")
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = unlearnt(stored, sent)
    if left and timeout:
        raise NotLearnt(
            f"{left:,} messages of {kafka.items_topic} are not learnt after {timeout:g} s, so what "
            "is new or changed cannot be told; nothing was sent. Is `streamrec learn` running? "
            "`--timeout 0` compares with what is stored"
        )


def _send(kafka: "KafkaSettings", items: "Sequence[Item]") -> None:
    import msgspec

    from streamrec.transport.kafka.open_log import open_for_command

    topic = kafka.items_topic
    with closing(open_for_command(kafka)) as log:
        log.partitions(topic)  # raises where there is no such topic
        for n, item in enumerate(with_progress(items, len(items), "items")):
            log.produce(topic, msgspec.json.encode(item), key=item.item.encode())
            if n % FLUSH_EVERY == FLUSH_EVERY - 1:
                log.flush()
        log.flush()
    print(f"sent {len(items):,} to {topic}")

"""`streamrec audit`: says whether every event is accounted for, and whether work is left."""

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from streamrec.commands.options import end, screen, settings_of

if TYPE_CHECKING:
    from streamrec.inspection.accounts import Report
    from streamrec.settings.sections import KafkaSettings

POLL_SECONDS = 0.25
VERDICTS = {
    0: "Every event is accounted for and no work is left.",
    2: "So far every event is accounted for; work is left.",
    3: "The state does not agree with the log.",
}


def audit(
    ctx: typer.Context,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the work to end.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Check that every event is accounted for, and say whether work is left."""
    settings = settings_of(ctx)
    from streamrec.inspection.accounts import EXIT_WORK_LEFT, Ends, take
    from streamrec.inspection.stored_state import Stored
    from streamrec.transport.kafka.log_identity import check_same

    deadline = time.monotonic() + wait
    with closing(Stored(settings.redis)) as stored, closing(Ends(settings.kafka)) as ends:
        check_same(stored.shards, settings.kafka)
        report = take(settings.kafka, stored, ends)
        while report.exit_code == EXIT_WORK_LEFT and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            report = take(settings.kafka, stored, ends)
    if as_json:
        own = {"broken": report.broken, "exit_code": report.exit_code}
        print(json.dumps(msgspec.to_builtins(report) | own, indent=2))
    else:
        _print_tables(report, settings.kafka)
    end(report.exit_code)


def _print_tables(report: "Report", kafka: "KafkaSettings") -> None:
    from streamrec.inspection.accounts import COUNTED

    console = screen(110, highlight=True)
    for topic in (kafka.events_topic, kafka.items_topic, kafka.updates_topic):
        between = topic == kafka.updates_topic
        columns = ("updates behind",) if between else ("consumed", *COUNTED)
        table = Table(title=topic, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for column in ("partition", "offset", "end", "lag", *columns):
            table.add_column(column, justify="right", no_wrap=True)
        for shard in report.shards:
            if shard.topic == topic:
                counts = (shard.counters.get(name, 0) for name in columns)
                behind = " ".join(f"{name}:{n}" for name, n in sorted(shard.behind.items()))
                last = [behind or "none"] if between else [str(n) for n in counts]
                place = (shard.partition, shard.offset, shard.end, shard.lag)
                table.add_row(*map(str, place), *last)
        console.print(table)
    console.print(f"users that wait for a list: {report.due}")
    for line in report.broken:
        console.print(f"BROKEN {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(VERDICTS[report.exit_code])

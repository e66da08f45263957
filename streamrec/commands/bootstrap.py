"""`streamrec bootstrap`: a file of history becomes the state of an empty Redis; `learn` goes on."""

import time
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.commands.encoding import texts_encoded
from streamrec.commands.evaluate import neural_asked, print_figures
from streamrec.commands.options import (
    EventsFile,
    ItemColumns,
    ItemsFile,
    Neural,
    items_of,
    reads_events,
    say,
    settings_of,
)
from streamrec.commands.progress import with_progress
from streamrec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streamrec.evaluation.prequential import Prequential
    from streamrec.events.event import Event, Item
    from streamrec.files.reading import Reading
    from streamrec.settings.sections import Settings
    from streamrec.state.first_state import First
    from streamrec.transport.kafka.log_identity import LogIdentity
    from streamrec.transport.redis.first_commit import FirstCommit

LAST_PART = 0.1
"""Share of the events, the last ones, whose figures are told."""
LISTS_A_SECOND = 500
"""Pace at which lists of all users are to be made, the last to act first; clicks come first."""


@reads_events
def bootstrap(
    ctx: typer.Context,
    reading: "Reading",
    events: EventsFile,
    items: ItemsFile = None,
    then: Annotated[
        str,
        typer.Option(
            help="start or end: where in Kafka's events `learn` goes on; asked if there are any."
        ),
    ] = "",
    neural: Neural = "",
    again: Annotated[
        bool, typer.Option("--again", help="After one that was cut off: delete what it wrote.")
    ] = False,
    item_columns: ItemColumns = "",
) -> None:
    """Learn a file of history, blend and network with it, into an empty Redis.

    It is learnt as `evaluate` learns it. `learn` then goes on with Kafka's events. Run it with
    the settings and topics of the installation, while `learn` is not running.
    """
    settings = settings_of(ctx)
    from streamrec.evaluation.evaluate import evaluate
    from streamrec.evaluation.plan import Asked, planned, with_neural
    from streamrec.evaluation.prequential import Parts
    from streamrec.evaluation.walk import Walk
    from streamrec.files.events import read_events
    from streamrec.monitoring.starting import calm_collector
    from streamrec.settings.types import changed
    from streamrec.transport.kafka.log import partition_of
    from streamrec.transport.kafka.log_identity import log_identity
    from streamrec.transport.redis.store import Store

    if then not in ("", "start", "end"):
        raise ConfigurationError(f"--then {then!r} is neither start nor end.")
    table = read_events(events, reading, say)
    if not len(table):
        raise ConfigurationError(f"{events} has no events.")
    catalogue = items_of(settings, items, item_columns, reading)
    log = log_identity(settings.kafka)
    starts = _starts(settings, then)
    users, parts = log.counts[settings.kafka.events_topic], log.counts[settings.kafka.updates_topic]
    network = with_neural(neural_asked(neural), settings, say)
    asked = Asked(warm_up=1 - LAST_PART, workers=users, neural=network, kept=True)
    with closing(Store(settings.redis)) as store:
        first = _begin(store, settings, log, again)
        try:
            room = {"max_items": parts * settings.items.max_items}
            whole = changed(settings, items=room)
            plan = planned(asked, table, catalogue, lambda _: whole, texts_encoded, say)

            def shown(log: "Iterator[Event]", count: int) -> "Iterator[Event]":
                return with_progress(log, count, "events")

            calm_collector()
            # one owner of all items: how they are dealt out changes no row of theirs
            cut = Parts(users, 1, lambda user: partition_of(user.encode(), users))
            figures, _, live = evaluate(plan, time.monotonic, shown, cut)
            Walk(live, table, catalogue).end()
        except BaseException:
            first.abandon()
            raise
        say("Storing what was learnt.")
        first.whole(lambda: _store(first, live, catalogue, starts, log), say)
    print_figures(figures)
    typer.echo(
        f"{len(table):,} events of {len(table.user_names):,} users are learnt and stored. Start "
        "`streamrec learn` and `streamrec score`: lists of all users are made, the last to act "
        "first."
    )


def _starts(settings: "Settings", then: str) -> "Mapping[str, int]":
    """Return the offset at which each user shard and each item shard goes on."""
    from streamrec.inspection.accounts import Ends

    kafka = settings.kafka
    with closing(Ends(kafka)) as ends:
        found = ends.look({})
    if any(end.more for part, end in found.items() if part.topic == kafka.updates_topic):
        raise ConfigurationError(
            f"topic {kafka.updates_topic} has records of another state: make it anew first "
            "(docs/guarantees.md, start over)"
        )
    some = sum(end.end - end.start for p, end in found.items() if p.topic == kafka.events_topic)
    if some and not then:
        raise ConfigurationError(
            f"topic {kafka.events_topic} has {some:,} messages. Say --then start if they come "
            "after the file's events, --then end if the file has them"
        )
    return {
        ends.shard(part): end.start
        if part.topic == kafka.items_topic or (part.topic == kafka.events_topic and then != "end")
        else end.end
        for part, end in found.items()
    }


def _begin(store: Any, settings: "Settings", log: "LogIdentity", again: bool) -> "FirstCommit":
    from streamrec.inspection.stored_state import item_kinds
    from streamrec.transport.redis.first_commit import FirstCommit
    from streamrec.transport.redis.keys import USER_ROWS, all_shards, shard_letters

    kinds: dict[str, tuple[str, ...]] = {"u": USER_ROWS, "i": item_kinds(settings), "m": ()}
    users, items, metadata = (log.counts[topic] for topic in shard_letters(settings.kafka))
    names = all_shards((users, items, metadata))
    return FirstCommit(store, {name: kinds[name[0]] for name in names}, again)


def _store(
    first: "FirstCommit",
    live: "Prequential",
    catalogue: "Mapping[str, Item]",
    starts: "Mapping[str, int]",
    log: "LogIdentity",
) -> None:
    """Write the state: of each shard its rows, then how it goes on."""
    from streamrec.state.first_state import by_activity, catalogue_of, dealt, of_items, of_users
    from streamrec.state.metadata_shard import MetadataShard

    flow, size = live.flow, live.settings.factors.size
    now = time.time_ns() // 1_000_000
    later: dict[str, dict[str, int]] = {}
    for rank, (shard, user) in enumerate(by_activity(flow.users)):
        later.setdefault(shard, {})[user] = now + rank * 1000 // LISTS_A_SECOND
    marks = {shard.name: starts[shard.name] for shard in flow.users}
    entries = catalogue_of(flow.table, catalogue)
    metas: dict[str, Mapping[str, str | int]] = {}
    offsets = [starts[f"i{n}"] for n in range(sum(name.startswith("i") for name in starts))]
    [items] = flow.items
    states: Iterator[First] = chain(  # one user shard at a time: packed rows are large
        (of_users(shard, starts[shard.name]) for shard in flow.users),
        dealt(of_items(items, 0, marks, entries), offsets),
    )
    for state in states:
        metas[state.shard] = state.meta
        for kind, rows in state.rows.items():
            first.rows(state.shard, kind, rows)
        first.later(state.shard, later.get(state.shard, {}))
    for name, start in starts.items():
        if name.startswith("m"):
            metas[name] = MetadataShard(int(name[1:]), size, len(offsets), start).changes()[1]
    if live.neural is not None:
        first.versions(*live.neural.versions(now), now)
    first.end(metas, log, size)

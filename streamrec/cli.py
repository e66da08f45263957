"""The command line: each command loads the settings and calls one role. docs/cli.md has a table.

Roles are imported inside their commands, so that --help answers at once.
"""

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec import __version__
from streamrec.commands.options import (
    Commands,
    Options,
    end,
    local_settings_of,
    reads_events,
    settings_of,
)
from streamrec.commands.quality import add_to

if TYPE_CHECKING:
    from streamrec.files.reading import Reading

EXIT_CODES = """Exit codes: 0 done; 1 failed; 2 wrong usage; 65 stored or sent data is wrong;
69 Kafka or Redis is not there; 70 a child process died; 78 wrong configuration; 130 Ctrl-C.
For audit: 0 all accounted for, 2 work is left, 3 the counts do not agree."""


app = typer.Typer(
    cls=Commands,
    help="A streaming recommender: it learns from every click while it runs.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
topics = typer.Typer(help="Create or check the four Kafka topics.", no_args_is_help=True)
app.add_typer(topics, name="topics")


@app.callback()
def common(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting.")
    ] = None,
    kafka: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="kafka.brokers")] = None,
    redis: Annotated[str | None, typer.Option(metavar="URL", help="redis.url")] = None,
) -> None:
    """Keep the common options for the command."""
    ctx.obj = Options(config, assignments or [], kafka, redis)


@app.command()
def learn(ctx: typer.Context) -> None:
    """Learn from the events in Kafka, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    from streamrec.roles.learn import run

    end(run(settings))


@app.command()
def score(ctx: typer.Context) -> None:
    """Publish lists for users who clicked, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    from streamrec.roles.score import run

    end(run(settings))


@app.command()
def up(
    ctx: typer.Context,
    learners: Annotated[int, typer.Option("--learn", min=1, help="Learn processes.")] = 1,
    scorers: Annotated[int, typer.Option("--score", min=1, help="Score processes.")] = 1,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic; cannot change later.")] = 4,
) -> None:
    """Run everything on this machine, with an embedded Kafka and Redis where none is given."""
    settings, kafka, redis = local_settings_of(ctx)
    from streamrec.commands.up import run

    end(run(settings, kafka, redis, learn=learners, score=scorers, partitions=partitions))


@app.command()
@reads_events
def demo(
    ctx: typer.Context,
    reading: "Reading",
    seconds: Annotated[
        float | None, typer.Option(min=0, help="About how long; 0: the whole log.  [default: 120]")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after that, for you.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Replay this: CSV, JSON lines or Parquet.")
    ] = None,
) -> None:
    """Replay real shopping and watch the lists change; Kafka and Redis are always embedded ones."""
    options: Options = ctx.obj
    settings, given = options.load()
    if events is None and "profile" not in given:
        settings, _ = options.load(flags={"profile": "shop"})
    from streamrec.demo.demo import run

    shown = {} if seconds is None else {"seconds": seconds or math.inf}
    end(run(settings, events, reading, keep=keep, json_file=json_file, **shown))


@app.command()
@reads_events
def replay(
    ctx: typer.Context,
    reading: "Reading",
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet.")],
    speed: Annotated[
        float | None, typer.Option(help="Events a second, whether they are learnt or not.")
    ] = None,
    time_factor: Annotated[
        float | None, typer.Option(help="Times the speed at which the events happened.")
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Give ids, so that a second replay is dropped.")
    ] = False,
) -> None:
    """Send a file's events to Kafka in time order, no faster than they are learnt."""
    settings = settings_of(ctx)
    from streamrec.commands.replay import run

    end(run(settings, file, reading, speed=speed, time_factor=time_factor, ids=ids))


@app.command()
def send(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Argument()] = None,
    item: Annotated[str | None, typer.Argument()] = None,
    event_type: Annotated[str, typer.Option("--type", help="A type of events.weights.")] = "click",
    ts: Annotated[
        str | None, typer.Option(help="Epoch milliseconds or RFC 3339; otherwise now.")
    ] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="For dropping duplicates.")] = None,
    value: Annotated[float | None, typer.Option(help="The event's value.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read events as JSON lines.")] = False,
) -> None:
    """Check one event, or JSON lines, and send them to Kafka."""
    if stdin != (user is None) or (user is None) != (item is None):
        raise typer.BadParameter("give USER and ITEM, or --stdin alone")
    settings = settings_of(ctx)
    from streamrec.commands.send import run, run_one

    if stdin:
        end(run(settings, sys.stdin.buffer))
    fields = {"user": user, "item": item, "type": event_type, "ts": ts, "id": event_id}
    end(run_one(settings, {**fields, "value": value}))


@app.command()
def recommend(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument()],
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help='A list made now under this too: "price < 20"; repeatable.'),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Print the list that is served to a user."""
    settings = settings_of(ctx)
    from streamrec.commands.recommend import recommend as run

    end(run(settings, user, filters or (), as_json=as_json))


@app.command()
def similar(
    ctx: typer.Context,
    item: Annotated[str, typer.Argument()],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array.")] = False,
) -> None:
    """Print the items most often taken after an item."""
    settings = settings_of(ctx)
    from streamrec.commands.recommend import similar as run

    end(run(settings.redis, item, count, as_json=as_json))


@topics.command()
def create(
    ctx: typer.Context,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic; cannot change later.")],
) -> None:
    """Create the topics that are missing; wrong existing ones are refused."""
    settings = settings_of(ctx)
    from streamrec.transport.topics import create_topics

    created = create_topics(settings.kafka, partitions)
    typer.echo(f"created: {', '.join(created)}" if created else "all topics exist already")


@topics.command()
def check(ctx: typer.Context) -> None:
    """Check that the topics exist with the right settings."""
    settings = settings_of(ctx)
    from streamrec.transport.topics import check_topics

    for topic, partitions in check_topics(settings.kafka).items():
        typer.echo(f"{topic}: {partitions} partitions")


@app.command()
def audit(
    ctx: typer.Context,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the work to end.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Check that every event is accounted for, and say whether work is left."""
    settings = settings_of(ctx)
    from streamrec.commands.audit import run

    end(run(settings, wait, as_json=as_json))


@app.command()
def export(
    ctx: typer.Context,
    state: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write into.")],
) -> None:
    """Write the state in Redis as JSON lines."""
    settings = settings_of(ctx)
    from streamrec.commands.export import run

    end(run(settings, state))


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Check Kafka, Redis, the topics and the state, and say what to do."""
    settings = settings_of(ctx)
    from streamrec.commands.doctor import run

    end(run(settings))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"streamrec {__version__}")


add_to(app)


def main() -> None:
    """Run the command that the arguments name."""
    # before numpy is imported: the scorer's small products are quickest in one thread, and idle
    # threads of the library spin, which doubled the time from click to list
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    app(prog_name="streamrec")


if __name__ == "__main__":
    main()

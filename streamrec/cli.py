"""The command line: the list of commands. docs/cli.md has a table.

A command imports what it needs when it runs, so that --help answers at once.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from streamrec.commands import items, lists, model, topics
from streamrec.commands.audit import audit
from streamrec.commands.bootstrap import bootstrap
from streamrec.commands.demo import demo
from streamrec.commands.doctor import doctor
from streamrec.commands.evaluate import evaluate
from streamrec.commands.explain import explain
from streamrec.commands.export import export
from streamrec.commands.forget import forget
from streamrec.commands.grow import grow
from streamrec.commands.options import Commands, Options
from streamrec.commands.recommend import recommend
from streamrec.commands.replay import replay
from streamrec.commands.roles import learn, score, serve, train
from streamrec.commands.send import send
from streamrec.commands.similar import similar
from streamrec.commands.size import size
from streamrec.commands.tune import tune
from streamrec.commands.up import up
from streamrec.commands.version import version
from streamrec.commands.weights import weights

EXIT_CODES = """Exit codes: 0 done; 1 failed; 2 wrong usage; 65 stored or sent data is wrong;
69 Kafka or Redis is not there; 70 a child process died; 75 not forgotten yet; 78 wrong
configuration; 130 Ctrl-C; 143 SIGTERM.
For audit: 0 all accounted for, 2 work is left, 3 the counts do not agree."""

COMMANDS = (learn, score, train, serve, up, demo, bootstrap, replay, send, recommend, similar,
            forget, audit, grow, export, doctor, version, evaluate, explain, weights,
            size)  # fmt: skip

app = typer.Typer(
    cls=Commands,
    help="A streaming recommender: it learns from every click while it runs.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)
group = typer.Typer(help="Create or check the Kafka topics.", no_args_is_help=True)
group.command()(topics.create)
group.command()(topics.check)
app.add_typer(group, name="topics")
group = typer.Typer(help="Tell the system of items.", no_args_is_help=True)
group.command()(items.load)
group.command()(tune)
app.add_typer(group, name="items")
group = typer.Typer(help="All users' lists.", no_args_is_help=True)
group.command()(lists.export)
app.add_typer(group, name="lists")
group = typer.Typer(help="See and choose what orders the lists.", no_args_is_help=True)
group.command("list")(model.list_)
for each in (model.rollback, model.off, model.on):
    group.command()(each)
group.command()(model.show)
group.command()(model.promote)
app.add_typer(group, name="model")


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


def main() -> None:
    """Run the command that the arguments name."""
    # before numpy is imported: the scorer's small products are quickest in one thread, and idle
    # threads of the library spin, which doubled the time from click to list
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    signal.signal(signal.SIGTERM, _terminated)  # roles, up and demo have a way of their own
    app(prog_name="streamrec")


def _terminated(number: int, _: object) -> NoReturn:
    """End as Ctrl-C does, so that no half-written file stays; a second SIGTERM ends at once."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()

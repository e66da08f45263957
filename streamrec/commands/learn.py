"""`streamrec learn`: the role of that name, for production."""

import typer

from streamrec.commands.options import end, settings_of


def learn(ctx: typer.Context) -> None:
    """Learn from the events in Kafka, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    from streamrec.roles.learn import run

    end(run(settings))

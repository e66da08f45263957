"""`streamrec score`: the role of that name, for production."""

import typer

from streamrec.commands.options import end, settings_of


def score(ctx: typer.Context) -> None:
    """Publish lists for users who clicked, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    from streamrec.roles.score import run

    end(run(settings))

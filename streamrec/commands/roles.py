"""`streamrec learn`, `score`, `train` and `serve`: the roles, for production."""

from importlib.util import find_spec
from typing import Annotated

import typer

from streamrec.commands.options import end, settings_of
from streamrec.errors import ConfigurationError


def learn(ctx: typer.Context) -> None:
    """Learn from the events in Kafka, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    from streamrec.roles.learn import run

    end(run(settings))


def score(ctx: typer.Context) -> None:
    """Publish lists for users who clicked, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    from streamrec.roles.score import run

    end(run(settings))


def train(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Learn what the samples topic holds now, and end.")
    ] = False,
) -> None:
    """Train the neural ranker until SIGTERM. One process, or several by torchrun; needs torch."""
    settings = settings_of(ctx, logs=True)
    from streamrec.settings.neural import TRAINS_WITH

    for library in TRAINS_WITH:
        if find_spec(library) is None:
            raise ConfigurationError(
                f"`streamrec train` needs {library}, which is not installed: "
                "pip install 'streamrec[neural]' (README.md says how to get the smaller CPU wheels)"
            )
    from streamrec.roles.train import run
    from streamrec.roles.training.priority import stand_back

    stand_back()
    end(run(settings, once))


def serve(ctx: typer.Context) -> None:
    """Answer HTTP requests with lists and take events, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise ConfigurationError("serve needs an extra: pip install 'streamrec[serve]'")
    from streamrec.http.serve import run
    from streamrec.roles.leave import stop_on_signals

    end(run(settings, stop_on_signals()))

"""`streamrec serve`: lists and events over HTTP, for who has no client of Redis and Kafka."""

from importlib.util import find_spec

import typer

from streamrec.commands.options import end, settings_of
from streamrec.errors import ConfigurationError


def serve(ctx: typer.Context) -> None:
    """Answer HTTP requests with lists and take events, until SIGTERM. Start as many as you like."""
    settings = settings_of(ctx, logs=True)
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise ConfigurationError("serve needs an extra: pip install 'streamrec[serve]'")
    from streamrec.http.serve import run
    from streamrec.roles.leave import stop_on_signals

    end(run(settings, stop_on_signals()))

"""`streamrec train`: the role of that name, for production."""

from importlib.util import find_spec
from typing import Annotated

import typer

from streamrec.commands.options import end, settings_of


def train(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Learn what the samples topic holds now, and end.")
    ] = False,
) -> None:
    """Train the neural ranker from clicks on lists, until SIGTERM. One process; needs torch."""
    settings = settings_of(ctx, logs=True)
    if find_spec("torch") is None:
        from streamrec.errors import ConfigurationError

        raise ConfigurationError(
            "`streamrec train` needs torch, which is not installed: "
            "pip install 'streamrec[neural]' (README.md says how to get the smaller CPU wheels)"
        )
    from streamrec.roles.train import run

    end(run(settings, once))

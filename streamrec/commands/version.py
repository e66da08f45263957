"""`streamrec version`."""

import typer

from streamrec import __version__


def version() -> None:
    """Print the version."""
    typer.echo(f"streamrec {__version__}")

"""`streamrec topics create` and `streamrec topics check`."""

from typing import Annotated

import typer

from streamrec.commands.options import settings_of


def create(
    ctx: typer.Context,
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic; only grows later.")],
) -> None:
    """Create the topics that are missing; wrong existing ones are refused."""
    settings = settings_of(ctx)
    from streamrec.transport.kafka.topics import create_topics, remarks

    created = create_topics(settings.kafka, partitions)
    typer.echo(f"created: {', '.join(created)}" if created else "all topics exist already")
    for topic, text in remarks(settings.kafka).items():
        typer.echo(f"{topic}: {text}")


def check(ctx: typer.Context) -> None:
    """Check that the topics exist with the right settings."""
    settings = settings_of(ctx)
    from streamrec.transport.kafka.topics import check_topics, remarks

    for topic, partitions in check_topics(settings.kafka).items():
        typer.echo(f"{topic}: {partitions} partitions")
    for topic, text in remarks(settings.kafka).items():
        typer.echo(f"{topic}: {text}")

"""Commands about how good the lists are, and why they are what they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.commands.options import (
    ItemColumns,
    Options,
    end,
    reading_of,
    reads_events,
    say,
    settings_of,
)

if TYPE_CHECKING:
    from streamrec.files.reading import Reading


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    for command in (evaluate, explain, weights):
        app.command()(command)


@reads_events
def evaluate(
    ctx: typer.Context,
    reading: "Reading",
    events: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet.")],
    items: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Item ids, titles, categories, texts.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="news, shop, catalogue or general (default: from the first events).")
    ] = "",
    exclude: Annotated[
        str,
        typer.Option(help="user, session or none: what lists leave out (default: the profile's)."),
    ] = "",
    limit: Annotated[int | None, typer.Option(min=2, help="Only the first so many.")] = None,
    warm_up: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share that is learnt but not scored.")
    ] = 0.3,
    types: Annotated[str, typer.Option(help="Types that are scored; all are learnt.")] = "",
    sources: Annotated[str, typer.Option(help="Sources that take part (default: all).")] = "",
    blend: Annotated[str, typer.Option(help="learned, weighted, cascade, vote or borda.")] = "",
    lag: Annotated[str, typer.Option(help="Parameters as of then: events, or 30s, 1h, 1d.")] = "0",
    workers: Annotated[int, typer.Option(min=1, help="User and item shards.")] = 1,
    peers: Annotated[str, typer.Option(help="Other recommenders in the same run, or all.")] = "",
    compare: Annotated[
        str,
        typer.Option(help="Other blends in the same run: weighted, cascade, vote, borda, tree."),
    ] = "",
    staleness: Annotated[bool, typer.Option("--staleness", help="Repeat at six lags.")] = False,
    ablation: Annotated[bool, typer.Option("--ablation", help="Repeat without each.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="factors.seed")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with plots.")] = None,
    item_columns: ItemColumns = "",
) -> None:
    """Say how good the lists would have been on a log: first recommend, then learn, each event."""
    from streamrec.commands import evaluate as role
    from streamrec.commands import evaluate_options as asked
    from streamrec.files.items import read_items

    options: Options = ctx.obj
    settings, given = options.load()
    table = role.read(events, reading)
    of_items = reading_of(settings.items.mapping, item_columns).allowing_as(reading)
    catalogue = read_items(items, of_items, say) if items else {}
    if not profile and "profile" not in given:
        profile, why = role.chosen_profile(table.taken(slice(limit)))
        say(f"Profile {profile}: {why}.")
    chosen = {
        "profile": profile, "lists.exclude": exclude, "blend.kind": blend,
        "factors.seed": "" if seed is None else str(seed), "blend.off": asked.off_but(sources),
    }  # fmt: skip
    settings = options.load(flags={name: value for name, value in chosen.items() if value})[0]
    plan = role.Plan(
        limit, warm_up, asked.names_in(types), lag, workers, asked.peers_of(asked.names_in(peers)),
        asked.blends_of(asked.names_in(compare)), staleness, ablation,
    )  # fmt: skip
    end(role.run(settings, table, catalogue, plan, json_file=json_file, report_file=report))


def explain(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument()],
    item: Annotated[str, typer.Argument()],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say why an item is, or is not, in a user's list."""
    settings = settings_of(ctx)
    from streamrec.commands.explain import run_explain

    end(run_explain(settings, user, item, as_json=as_json))


def weights(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Print what the blend has learnt about the sources."""
    settings = settings_of(ctx)
    from streamrec.commands.explain import run_weights

    end(run_weights(settings, as_json=as_json))

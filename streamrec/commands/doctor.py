"""`streamrec doctor`: one line for each check."""

import json
from typing import Annotated

import typer

from streamrec.commands.options import end, settings_of


def doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for machines.")] = False,
) -> None:
    """Check Kafka, Redis, the topics and the state, and say what to do."""
    settings = settings_of(ctx)
    from streamrec.inspection.findings import findings

    failed, found = False, []
    for finding in findings(settings):
        failed |= finding.state == "FAIL"
        found.append(finding._asdict())
        if not as_json:
            print(f"{finding.state:<5} {finding.subject}: {finding.text}")
    if as_json:
        print(json.dumps(found, indent=1))
    end(1 if failed else 0)

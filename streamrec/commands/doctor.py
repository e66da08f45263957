"""`streamrec doctor`: one line for each check."""

import typer

from streamrec.commands.options import end, settings_of


def doctor(ctx: typer.Context) -> None:
    """Check Kafka, Redis, the topics and the state, and say what to do."""
    settings = settings_of(ctx)
    from streamrec.inspection.findings import findings

    failed = False
    for finding in findings(settings):
        failed |= finding.state == "FAIL"
        print(f"{finding.state:<5} {finding.subject}: {finding.text}")
    end(1 if failed else 0)

"""Made-up logs, and what `streamrec evaluate` says of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from typer.testing import CliRunner, Result

from streamrec.cli import app

NOW = 1_700_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PLAIN = ("--warm-up", "0", "--profile", "general")


class Click(NamedTuple):
    user: str
    item: str
    ts: int = NOW
    type: str = "click"


def clicks(count: int, seed: int = 1, users: int = 8, items: int = 25, step: int = MINUTE) -> Any:
    """Return random clicks, a geometric few items the most."""
    rng = np.random.default_rng(seed)
    return [
        Click(f"u{rng.integers(users)}", f"i{min(items, rng.geometric(0.1))}", NOW + n * step)
        for n in range(count)
    ]


def paired(count: int, items: int = 60, users: int = 40) -> list[Click]:
    """Return clicks where the item after the last but one is what counts, and not the last.

    Each user goes through a sequence of their own kind, with every second click at random.
    """
    rng, at = np.random.default_rng(4), np.zeros(users, int)
    out = []
    for n in range(count):
        u = int(rng.integers(users))
        at[u] += 1
        kind = u % 3
        item = rng.integers(items) if at[u] % 2 else (7 * kind + at[u] // 2) % items
        out.append(Click(f"u{u}", f"i{item}", NOW + n * MINUTE))
    return out


def written(log: Sequence[Click], name: str = "log.csv") -> str:
    lines = ["user_id,item_id,type,ts", *(f"{c.user},{c.item},{c.type},{c.ts}" for c in log)]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def run(file: str, *options: str, before: Sequence[str] = ()) -> Result:
    """Run it; without the neural ranker, which takes time, unless that is what is asked."""
    if "--neural" not in options:
        options += ("--neural", "off")
    return CliRunner().invoke(app, [*before, "evaluate", file, *options])


def figures(
    log: Sequence[Click] | str, *options: str, before: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what was written as JSON, which is JSON in the strict sense."""
    file = log if isinstance(log, str) else written(log)
    result = run(file, *options, "--json", "out.json", before=before)
    assert result.exit_code == 0, result.output

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found: dict[str, Any] = json.loads(Path("out.json").read_text(), parse_constant=refuse)
    return found


def refused(*arguments: str, code: int = 0, before: Sequence[str] = ()) -> str:
    """Return what is said on standard error: one message and no traceback."""
    result = run(*arguments, before=before)
    assert result.exit_code in ((code,) if code else (65, 78)), result.output
    assert "Traceback" not in result.output and not Path("out.json").exists()
    return result.stderr

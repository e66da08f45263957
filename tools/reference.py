"""Writes the generated reference: `python -m tools.reference [--check]`.

docs/configuration.md and deploy/streamrec.toml come from the sections in streamrec/settings/ and
the lines under their fields, docs/metrics.md from streamrec/monitoring/metrics.py, the tables of
rows in docs/redis.md from their columns, that of docs/sources.md from the classes, the dashboards
in deploy/grafana/dashboards/ from streamrec/dashboards/. With `--check`
nothing is written: a stale file is named, exit 1.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from streamrec.blend.learned import LearnedBlend
from streamrec.blend.rules import blend_rules
from streamrec.dashboards.boards import files
from streamrec.monitoring.metrics import Metrics
from streamrec.settings.checks import range_of
from streamrec.settings.load import all_settings, default_of, load, variable_of
from streamrec.settings.places import PlaceSettings
from streamrec.settings.profiles import PROFILES
from streamrec.settings.sections import CommonSettings, Settings, settings_type
from streamrec.settings.types import Section
from streamrec.sources.registry import all_sources, sources_of
from streamrec.sources.repeats import gap_ms
from streamrec.state.item_rows import BLEND, ItemSchema
from streamrec.state.schema import Kind
from streamrec.state.user_rows import USERS, user_columns

ROOT = Path(__file__).resolve().parent.parent


class Described(NamedTuple):
    """One section, with the meaning of each of its fields; "" holds the keys of no section."""

    name: str
    meaning: str
    fields: dict[str, str]

    def setting(self, key: str) -> str:
        """Return the full name of one of its settings."""
        return f"{self.name}.{key}" if self.name else key


def main(arguments: list[str]) -> int:
    """Write the files, or compare them; returns the exit code."""
    stale = []
    for name, text in generated().items():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        done = "is stale: run python -m tools.reference" if "--check" in arguments else "written"
        print(f"{name} {done}")
    return 1 if stale and "--check" in arguments else 0


def generated() -> dict[str, str]:
    """Return the text of every generated file by its path in the repository."""
    return {
        "docs/configuration.md": configuration_page(),
        "deploy/streamrec.toml": sample_file(),
        "docs/metrics.md": metrics_page(),
        "docs/redis.md": _page("redis.md", {"rows": _row_columns(), "sizes": _row_sizes()}),
        "docs/sources.md": _page("sources.md", {"sources": sources_table()}),
        **files(),
    }


def configuration_page(extra: tuple[str, ...] = ()) -> str:
    """Return docs/configuration.md; `extra`: as in the setting extra_sources."""
    kind = settings_type(extra)
    types = all_settings(kind)
    lines = [_CONFIGURATION_START]
    for section in described_sections(kind):
        title = f"[{section.name}]" if section.name else "Before all sections"
        lines += [f"\n## {title}\n", f"{section.meaning}\n"]
        lines += ["| key | default | may be | meaning |", "| --- | --- | --- | --- |"]
        for key, meaning in section.fields.items():
            name = section.setting(key)
            default = f"`{toml_value(default_of(name, kind))}`"
            allowed = range_of(types[name]).replace("|", "\\|")
            lines.append(f"| `{key}` | {default} | {allowed} | {meaning} |")
    return "\n".join([*lines, *_place_lines()]) + "\n"


def _place_lines() -> list[str]:
    """Return the lines about [places.NAME], of which there may be many."""
    lines = ["\n## [places.NAME]\n", f"{inspect.getdoc(PlaceSettings)} [places.md](places.md).\n"]
    lines += ["| key | may be | meaning |", "| --- | --- | --- |"]
    types = {field.name: field.type for field in msgspec.structs.fields(PlaceSettings)}
    for key, meaning in _meanings(PlaceSettings).items():
        lines.append(f"| `{key}` | {range_of(types[key])} | {meaning} |")
    return lines


def sample_file() -> str:
    """Return deploy/streamrec.toml: every key with its default and its meaning.

    What a profile changes is commented out, or the profile would have no effect in a copy.
    """
    lines = [_SAMPLE_START]
    profiled = {name for settings in PROFILES.values() for name in settings}
    for section in described_sections():
        lines += ["", f"# {section.meaning}", *([f"[{section.name}]"] if section.name else [])]
        for key, meaning in section.fields.items():
            lines.append(f"# {meaning}")
            name = section.setting(key)
            mark = "# " if name in profiled else ""
            lines.append(f"{mark}{key} = {toml_value(default_of(name))}")
    return "\n".join(lines) + _SAMPLE_PLACE


def metrics_page() -> str:
    """Return docs/metrics.md."""
    lines = [_METRICS_START, "| metric | kind | labels | of | meaning |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for one in Metrics(CollectorRegistry()).described:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        cells = (f"`{one.name}`", one.kind, labels, one.role or "all", one.meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sources_table(extra: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of the table of sources; `extra`: as in the setting extra_sources."""
    lines = ["| source | settings | in the blend | weight | proposes |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for source in all_sources(extra):
        section = f"`[{source.section}]`" if source.section else "none"
        [proposes, *_] = (inspect.getdoc(source) or "").split("\n\n")
        cells = (f"`{source.name}`", section, source.in_blend, f"{source.weight:g}", proposes)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _page(name: str, tables: Mapping[str, Sequence[str]]) -> str:
    """Return a page of docs/ with its tables made anew; the rest of it is written by hand."""
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for table, lines in tables.items():
        start, end = f"<!-- {table}: {_BY_US} -->\n", f"<!-- end of {table} -->\n"
        before, rest = page.split(start)
        _, after = rest.split(end)
        page = f"{before}{start}\n" + "".join(f"{line}\n" for line in lines) + f"\n{end}{after}"
    return page


def _row_kinds(settings: Settings) -> list[Kind]:
    """Return the kinds of rows that are made of columns."""
    gaps = gap_ms(settings) > 0
    users = user_columns(settings.users.recent_items, settings.users.seen_items, gaps)
    return [Kind(USERS, users), *ItemSchema(sources_of(settings)).kinds.values()]


def _row_columns() -> list[str]:
    lines = ["| row | column | type | values |", "| --- | --- | --- | --- |"]
    for kind in _row_kinds(Settings()):
        name = f"`{kind.name}`"
        for c in kind.columns:
            dtype = np.dtype(c.dtype)
            width = f"`{c.sized_by}`" if c.sized_by else str(c.width or 1)
            lines.append(f"| {name} | `{c.name}` | {dtype.kind}{8 * dtype.itemsize} | {width} |")
            name = ""
    return lines


def _row_sizes() -> list[str]:
    profiles = {name: load(None, {}, {"profile": name}) for name in PROFILES}
    lines = [f"| row | bytes | at most, under {' | '.join(f'`{name}`' for name in profiles)} |"]
    lines += ["| --- | --- |" + " --- |" * len(profiles)]
    for kinds in zip(*(_row_kinds(settings) for settings in profiles.values()), strict=True):
        each: dict[str, int] = {}
        for c in kinds[0].lists:
            each[c.sized_by] = each.get(c.sized_by, 0) + np.dtype(c.dtype).itemsize
        terms = [str(kinds[0].header.itemsize), *(f"{n} x `{size}`" for size, n in each.items())]
        most = " | ".join(f"{kind.most_bytes():,}" for kind in kinds)
        lines.append(f"| `{kinds[0].name}` | {' + '.join(terms)} | {most} |")
    blends = (LearnedBlend(blend_rules(settings)).to_bytes() for settings in profiles.values())
    return [*lines, f"| `{BLEND}` | | {' | '.join(f'{len(blob):,}' for blob in blends)} |"]


def described_sections(kind: type[Section] = Settings) -> Iterator[Described]:
    """Yield the sections in order, a nested one after the section that holds it."""

    def walk(section: type[Section], name: str) -> Iterator[Described]:
        nested = {
            field.name: field.type
            for field in msgspec.structs.fields(section)
            if isinstance(field.type, type) and issubclass(field.type, Section)
        }
        own = {key: text for key, text in _meanings(section).items() if key not in nested}
        if own:
            yield Described(name, inspect.getdoc(section) or "", own)
        for key, inner in nested.items():
            yield from walk(inner, f"{name}.{key}" if name else key)

    yield from walk(kind, "")


def toml_value(value: object) -> str:
    """Return a default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {toml_value(entry)}" for key, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(entry) for entry in value)}]"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return str(value)


def _meanings(section: type[Section]) -> dict[str, str]:
    """Return the line under each field of a section, those of its bases first."""
    lines: dict[str, str] = {}
    for each in reversed(section.__mro__):
        made = issubclass(each, CommonSettings) and each is not CommonSettings  # of all sections
        if not issubclass(each, Section) or each is Section or made:
            continue
        [node] = ast.parse(inspect.getsource(each)).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                lines[field.target.id] = str(below.value.value) if documented else ""  # type: ignore
    return lines


_SAMPLE_PLACE = """

# A place beside home, with rules of its own; any number of them (docs/places.md).
# [places.deals]
# length = 10
# filters = ["price < 20"]
# exclude = { purchase = "30 days", view = "session" }
# caps = { brand = 2 }
"""
_BY_US = "written by python -m tools.reference, do not edit"

_CONFIGURATION_START = f"""\
# Configuration

<!-- Written by python -m tools.reference from streamrec/settings/: do not edit. -->

A setting comes from, later ones winning: its default; the TOML file (`--config`, else
`STREAMREC_CONFIG`, else `./streamrec.toml`); the environment; `--set section.key=value`, `--kafka`
and `--redis`. The variable of `lists.length` is `{variable_of("lists.length")}`, and so on for
every key; `STREAMREC_KAFKA` and `STREAMREC_REDIS` are short names of two. Tables and lists are
written in a variable or flag as JSON or TOML: `STREAMREC_EVENTS_WEIGHTS='{{"click": 1}}'`. A table
of names that is given replaces the default table; `--set events.weights.click=2` changes one name.

An unknown key, a wrong type or a value out of range ends the program with exit code 78 and names
the place and the nearest valid name. Variables that start with `STREAMREC_TEST_` are for the tests;
those that Kubernetes adds for a Service are ignored.

[deploy/streamrec.toml](../deploy/streamrec.toml) has every key with its default."""

_SAMPLE_START = """\
# Every setting of streamrec with its default. docs/configuration.md says where else to set them.
# Keys that a profile changes are commented out: uncommented, they win over the profile.
# Written by python -m tools.reference from streamrec/settings/: copy it, do not edit it."""

_METRICS_START = """\
# Metrics

<!-- Written by python -m tools.reference from streamrec/monitoring/metrics.py: do not edit. -->

Every process serves its metrics at `/metrics`, on one port for each role: `metrics.port` (9464) for
`learn`, the next ones for `score`, `train` and `serve`. A further process of a role on the same
machine takes a port 10, 20, ... above; the log names it. `streamrec up --targets FILE` tells
Prometheus what runs where (`file_sd_configs`). No label holds a user or an item. `/health/live` and
`/health/ready` on the same port answer 200, or 503 with the reasons as JSON.

Counters and histograms: sum over the processes. Gauges of *all* say the same of the installation in
every process that lives: take the max. Gauges of *learn* are of its own partitions: sum them, but
for ages, of which the max counts. A label's values are there from the start, as 0, wherever they
can be known.

A mean is the quotient of two counters. Live recall@20 of every source, by any number of processes:

    sum by (source) (rate(streamrec_prequential_hits_total{k="20"}[5m]))
      / ignoring(source) group_left sum(rate(streamrec_prequential_events_total[5m]))

The share of clicks for which there was no list of the user's own:

    1 - sum(rate(streamrec_prequential_events_total{list="own"}[5m]))
      / sum(rate(streamrec_prequential_events_total[5m]))
"""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

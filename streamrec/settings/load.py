"""Loads the settings: defaults, then a TOML file, then STREAMREC_* variables, then flags.

Every value is checked where it was given, so that an error names the file and line, the variable
or the flag. A table of names (`events.weights`) that is given replaces the default table; a flag
for one of its names (`--set events.weights.click=2`) changes that name alone.
"""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_origin

import msgspec

from streamrec.errors import ConfigurationError
from streamrec.settings.checks import is_section, problems, range_of, told
from streamrec.settings.profiles import PROFILES
from streamrec.settings.sections import CommonSettings, Settings, settings_type
from streamrec.settings.types import Section

PREFIX = "STREAMREC_"
SHORT_NAMES = {"STREAMREC_KAFKA": "kafka.brokers", "STREAMREC_REDIS": "redis.url"}
SECRET = (
    "redis.url", "kafka.client_settings",
    *(f"serve.{who}_tokens" for who in ("read", "write", "events", "admin")),
)  # fmt: skip
"""Settings that may hold a password; no message quotes them."""
PROFILE = "the profile"
DEFAULT_FILE = Path("streamrec.toml")


class Given(NamedTuple):
    """One value somebody set: the setting's dotted name, where it was set, and how."""

    name: str
    value: object
    origin: str
    entry: str = ""
    """The one name of a table that is meant; empty: the whole value."""
    is_text: bool = False


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """Return the settings; `flags` maps `section.key` to text.

    Without `path` the file is STREAMREC_CONFIG, else ./streamrec.toml if there is one.
    Raises ConfigurationError.
    """
    return load_given(path, environ, flags)[0]


def load_given(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[Settings, frozenset[str]]:
    """Return the settings as `load` does, and the names of those that were given somewhere."""
    file = find_file(path, environ)
    kind = settings_type(_extra_sources(file, environ, flags))
    types = all_settings(kind)
    given = [
        *_from_file(file, types), *_from_environment(environ, types), *_from_flags(flags, types)
    ]  # fmt: skip
    return _settled(given, kind), frozenset(one.name for one in given)


def of_values(values: Mapping[str, object]) -> Settings:
    """Return the settings that values by dotted name make, and nothing else that is set somewhere.

    Raises ConfigurationError.
    """
    origin, extra = "settings", "extra_sources"
    given = [Given(extra, values[extra], origin)] if extra in values else []
    kind = settings_type(_checked(given[0], all_settings(CommonSettings)[extra]) if given else ())
    types = all_settings(kind)
    return _settled([_entry_or_whole(n, v, origin, types) for n, v in values.items()], kind)


def _settled(given: Sequence[Given], kind: Any) -> Settings:
    """Return the settings of what is given, the later over the earlier."""
    types = all_settings(kind)
    given = [*_from_profile(given, types), *given]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for one in given:
        value = _checked(one, types[one.name])
        if one.entry or (_is_table(types[one.name]) and is_section(types[one.name].__args__[1])):
            value = {**values.get(one.name, default_of(one.name, kind)), **value}
        values[one.name] = value
        origins[one.name] = one.origin
    settings: Settings = msgspec.convert(_nested(values), kind)
    for problem in problems(settings):
        origin = next((origins[name] for name in problem.names if name in origins), "settings")
        raise ConfigurationError(f"{origin}: {problem.text}")
    return settings


def _extra_sources(
    file: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the sources from outside, which must be known before their sections are read."""
    wanted, name = all_settings(CommonSettings), "extra_sources"
    found: list[Given] = []
    if file is not None:
        value = _document(file)[1].get(name)
        found += [Given(name, value, str(file))] if value is not None else []
    for texts, key in ((environ, variable_of(name)), (flags, name)):
        if key in texts:
            found.append(Given(name, texts[key], key, is_text=True))
    extra: tuple[str, ...] = _checked(found[-1], wanted[name]) if found else ()
    return extra


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file that is in force, if any."""
    if path is None and environ.get("STREAMREC_CONFIG"):
        path = Path(environ["STREAMREC_CONFIG"])
    if path is not None and not path.is_file():
        raise ConfigurationError(f"there is no configuration file {path}")
    if path is None and DEFAULT_FILE.is_file():
        return DEFAULT_FILE
    return path


def all_settings(section: type[Section] = Settings, prefix: str = "") -> dict[str, Any]:
    """Return the type of every setting by its dotted name."""
    types: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            types.update(all_settings(field.type, f"{prefix}{field.name}."))
        else:
            types[prefix + field.name] = field.type
    return types


def default_of(name: str, kind: Any = Settings) -> Any:
    """Return the default of a setting."""
    value: Any = kind()
    for part in name.split("."):
        value = getattr(value, part)
    return value


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.replace(".", "_").upper()


def _from_profile(given: Sequence[Given], types: Mapping[str, Any]) -> Iterator[Given]:
    """Yield what the last given profile sets: before all others, so that they win."""
    for one in [one for one in given if one.name == "profile"][-1:]:
        for name, value in PROFILES[_checked(one, types["profile"])].items():
            yield Given(name, value, PROFILE)


def _document(file: Path) -> tuple[str, dict[str, Any]]:
    """Return a TOML file's text, and what it says."""
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: {error}") from None


def _from_file(file: Path | None, types: Mapping[str, Any]) -> Iterator[Given]:
    if file is None:
        return
    text, document = _document(file)

    def walk(table: Mapping[str, object], prefix: str) -> Iterator[Given]:
        for key, value in table.items():
            name = prefix + key
            if isinstance(value, dict) and any(known.startswith(f"{name}.") for known in types):
                yield from walk(value, f"{name}.")
            else:
                origin = f"{file}{_line_of(text, name)}"
                yield Given(_known(name, types, origin), value, origin)

    yield from walk(document, "")


def _from_environment(environ: Mapping[str, str], types: Mapping[str, Any]) -> Iterator[Given]:
    names = {variable_of(name): name for name in types} | SHORT_NAMES
    for variable in sorted(environ, key=lambda name: (name not in SHORT_NAMES, name)):
        value = environ[variable]
        if not variable.startswith(PREFIX) or _is_no_setting(variable, value):
            continue
        if variable not in names:
            near = _nearest(variable, names)
            raise ConfigurationError(f"unknown variable {variable}; did you mean {near}?")
        yield Given(names[variable], value, variable, is_text=True)


def _is_no_setting(variable: str, value: str) -> bool:
    """Tell whether a variable is for the tests, or what Kubernetes adds for a Service."""
    return (
        variable == "STREAMREC_CONFIG"
        or variable.startswith("STREAMREC_TEST_")
        or re.search(r"_SERVICE_(HOST|PORT)(_|\Z)|_PORT_\d+_(TCP|UDP|SCTP)(_|\Z)", variable)
        is not None
        or re.match(r"(tcp|udp|sctp)://", value) is not None
    )


def _from_flags(flags: Mapping[str, str], types: Mapping[str, Any]) -> Iterator[Given]:
    for flag, value in flags.items():
        yield _entry_or_whole(flag, value, f"--set {flag}", types)._replace(is_text=True)


def _entry_or_whole(name: str, value: object, origin: str, types: Mapping[str, Any]) -> Given:
    """Return what is given by its dotted name, of a table of names perhaps one entry."""
    table = next((n for n, t in types.items() if _is_table(t) and name.startswith(f"{n}.")), None)
    if table is None:
        return Given(_known(name, types, origin), value, origin)
    return Given(table, value, origin, name[len(table) + 1 :])


def _known(name: str, types: Mapping[str, Any], origin: str) -> str:
    if name in types:
        return name
    raise ConfigurationError(
        f"{origin}: unknown setting {name}; did you mean {_nearest(name, types)}?"
    )


def _nearest(name: str, names: Mapping[str, Any]) -> str:
    """Return the likeliest meant name: by the whole, its beginning or its last part, or any."""
    by_last = {known.rpartition(".")[2]: known for known in reversed(list(names))}
    whole = difflib.get_close_matches(name, list(names), 1, 0.8)
    if near := whole or [known for known in names if known.startswith(name)]:
        return near[0]
    if last := difflib.get_close_matches(name.rpartition(".")[2], list(by_last), 1, 0.7):
        return by_last[last[0]]
    return difflib.get_close_matches(name, list(names), 1, 0.0)[0]


def _checked(one: Given, wanted: Any) -> Any:
    """Return the value in the setting's type; of a table's one entry, as a table of one."""
    value = one.value
    try:
        if one.entry:
            kind = wanted.__args__[1]
            value = {one.entry: value}
            if one.is_text and is_section(kind):
                value = {one.entry: _structured(str(one.value))}
        elif one.is_text and get_origin(wanted) in (dict, tuple):
            value = _structured(str(value))
        value = msgspec.convert(value, wanted, strict=not one.is_text)
        parts = value.values() if isinstance(value, dict) else value
        for part in parts if get_origin(wanted) in (dict, tuple) else [value]:
            if isinstance(part, float) and not math.isfinite(part):
                raise ValueError
        return value
    except (msgspec.ValidationError, ValueError):
        if _is_table(wanted) and is_section(wanted.__args__[1]):
            wrong = told(one.name, value, wanted, strict=not one.is_text)
            raise ConfigurationError(f"{one.origin}: {wrong}") from None
        shown = "what is given" if one.name in SECRET else repr(one.value)
        text = f"{one.origin}: {one.name} cannot be {shown}; expected: {range_of(wanted)}"
        raise ConfigurationError(text) from None


def _structured(text: str) -> object:
    """Return a table or a list from text: JSON, or what TOML has right of the equals sign."""
    try:
        return json.loads(text)
    except ValueError:
        return tomllib.loads(f"value = {text}")["value"]


def _is_table(wanted: Any) -> bool:
    return get_origin(wanted) is dict


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        table = root
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
    return root


def _line_of(text: str, name: str) -> str:
    """Return `:line` of a setting in a TOML file; nothing where it is written in another form."""
    section, _, key = name.rpartition(".")
    header = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            header = match[1]
            if header == name:
                return f":{number}"
        elif header == section and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return f":{number}"
    return ""

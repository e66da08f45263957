"""What a test needs of the machine: where it is missing, a laptop skips the test and CI fails."""

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn, TypeVar

import pytest
from servers import Unavailable

Server = TypeVar("Server")


def needs(*modules: str) -> Any:
    """Return the named module, or the modules; `pip install -e '.[dev]'` brings them all."""
    try:
        found = [import_module(name) for name in modules]
    except ImportError as error:
        _missing(f"{error}: pip install -e '.[dev]'")
    return found[0] if len(found) == 1 else found


def needs_server(start: Callable[[], Server]) -> Server:
    """Return the server that `start` starts."""
    try:
        return start()
    except Unavailable as reason:
        _missing(str(reason))


def needs_program(package: str, *names: str) -> str:
    """Return where the first of these programs is that is on PATH; the Debian package has it."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    _missing(f"no {names[0]} on PATH: apt-get install --no-install-recommends {package}")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)

"""What is missing skips a test on a laptop and fails it under CI."""

import json
from typing import NoReturn

import pytest
from needs import needs, needs_program, needs_server
from servers import Unavailable


def no_server() -> NoReturn:
    raise Unavailable("no broker here")


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_what_is_missing(ci: str, outcome: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no_such_module.*pip install"):
        needs("json", "no_such_module")
    with pytest.raises(outcome, match="no broker here"):
        needs_server(no_server)
    with pytest.raises(outcome, match="no nosuch on PATH: apt-get install .* such"):
        needs_program("such", "nosuch", "nosuch2")


def test_what_is_there() -> None:
    assert needs("json") is json and needs("json", "json") == [json, json]
    assert needs_server(lambda: 7) == 7
    assert needs_program("dash", "nosuch", "sh").endswith("/sh")

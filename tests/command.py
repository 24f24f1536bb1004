"""The command ``hanse`` in the test's own process."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from hanse.cli.main import main


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for machines; then it has nothing to say to people."""
        assert self.err == ""
        return json.loads(self.out)


Command: TypeAlias = Callable[..., Result]
"""Takes the words of the command line, without ``hanse``."""


def command_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, for a terminal of 200 columns and without a site in the environment."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HANSE_HOME", raising=False)

    def call(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["hanse", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        assert isinstance(caught.value.code, int | None)
        return Result(caught.value.code or 0, printed.out, printed.err)

    return call

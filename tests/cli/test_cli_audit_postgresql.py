"""A coordinator whose shared log is in PostgreSQL: every command finds it there."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from tests.command import Command, command_for
from tests.conftest import utc_now

from hanse.audit import Event, EventType
from hanse.cli import audit_watch
from hanse.cli.common import member_log
from hanse.client.home import MemberHome
from hanse.server.setup import init_coordinator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hanse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_for(monkeypatch, capsys)


@pytest.fixture
def hub(database: str, tmp_path: Path) -> Path:
    """A coordinator's folder; its log has three entries."""
    root = tmp_path / "hub"
    init_coordinator(root, "hub", "Hub", "DE", [], utc_now(), database)
    append(root, 3)
    return root


def append(hub: Path, count: int) -> None:
    log = member_log(MemberHome(hub), "coordinator")
    log.append(*[Event(type=EventType.AGREEMENT_ACCEPTED, agreement="ab" * 32)] * count)
    log.close()


def server_tool(name: str, database: str, *words: str) -> None:
    """One of the server's own tools, as its operator calls it."""
    url = database.replace("+psycopg", "")
    subprocess.run([name, "--dbname", url, *words], check=True, capture_output=True, timeout=60)


def put_back(database: str, backup: Path) -> None:
    server_tool("pg_restore", database, "--clean", "--if-exists", "--single-transaction", str(backup))


def test_log_is_verified_exported_and_watched(
    hanse: Command, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not MemberHome(hub).log.exists(), "the log is in the database and nowhere else"
    assert hanse("audit", "verify", "--home", hub, "--json").json["entries"] == 3
    exported = hanse("audit", "export", "--home", hub, "--out", "p.zip", "--json").json
    assert (exported["log"], exported["entries"]) == ("hub", 3)
    checked = hanse("audit", "verify", "--package", "p.zip")
    assert checked.code == 0, checked.out
    assert hanse("audit", "show", "--home", hub, "--last", 1, "--json").json[0]["type"] == "audit.exported"

    over = threading.Event()
    over.set()
    monkeypatch.setattr(audit_watch, "stop_on_signals", lambda: over)
    watched = hanse("audit", "watch", "--home", hub, "--json")
    *shown, verified = map(json.loads, watched.out.splitlines())
    assert [line["type"] for line in shown[:1] + shown[-1:]] == ["agreement.accepted", "audit.exported"]
    assert verified["verified"]["entries"] == 4
    assert not MemberHome(hub).log.exists(), "no command made a log beside the one in the database"


@pytest.mark.parametrize("words", [("backup", "--out", "b.db"), ("restore", "--from", "other.db")])
def test_backups_are_the_servers_own(hanse: Command, hub: Path, words: tuple[str, ...]) -> None:
    (hub.parent / "other.db").write_bytes(b"")
    told = hanse("audit", words[0], "--home", hub, *words[1:])
    assert told.code == 3
    assert "pg_dump" in told.err
    assert "verify --since" in told.err.replace("\n", " ")
    assert not MemberHome(hub).log.exists(), "nobody would read a log that is put there"


def test_saved_checkpoint_shows_what_a_restored_database_lost(
    hanse: Command, hub: Path, database: str
) -> None:
    old, new = hub.parent / "old.dump", hub.parent / "new.dump"
    server_tool("pg_dump", database, "--format=custom", "--file", str(old))
    append(hub, 2)
    assert hanse("audit", "verify", "--home", hub, "--save", "kept.checkpoint").code == 0
    server_tool("pg_dump", database, "--format=custom", "--file", str(new))

    put_back(database, new)
    whole = hanse("audit", "verify", "--home", hub, "--since", "kept.checkpoint", "--json").json
    assert (whole["entries"], whole["compared"]) == (5, True)
    append(hub, 1)  # its guards came back with it, and it goes on

    put_back(database, old)
    assert hanse("audit", "verify", "--home", hub).code == 0, "alone, an old log cannot be told"
    lost = hanse("audit", "verify", "--home", hub, "--since", "kept.checkpoint")
    assert lost.code == 6
    assert "has 3 entries, the saved checkpoint of hub has 5" in lost.err.replace("\n", " ")

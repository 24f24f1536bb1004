"""The coordinator's folder, and where its shared log is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hanse.audit import Actor, AuditLog, Event, EventType, verify_log
from hanse.cli.main import app
from hanse.crypto import SigningKey
from hanse.errors import AuditError, ConfigurationError
from hanse.server.home import CoordinatorHome
from hanse.server.settings import ServerSettings
from hanse.server.setup import init_coordinator

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make(root: Path, audit_url: str | None = None) -> CoordinatorHome:
    init_coordinator(root, "hub", "Hub", "DE", [], NOW, audit_url)
    return CoordinatorHome(root)


def test_the_shared_log_is_a_file_by_default(tmp_path: Path) -> None:
    home = make(tmp_path / "hub")
    assert ServerSettings.load(home.root).audit_url is None
    assert verify_log(home.log, SigningKey.load(home.node_key).verifier, origin="hub").size == 0


def test_the_shared_log_in_postgresql(tmp_path: Path, database: str) -> None:
    home = make(tmp_path / "hub", database)
    assert not home.log.exists()
    assert ServerSettings.load(home.root).audit_url == database
    key = SigningKey.load(home.node_key)
    actor = Actor(organisation="hub", key_id=key.verifier.key_id, role="coordinator")
    AuditLog.open(database, key, actor).append(Event(type=EventType.RUN_STARTED))
    for command in ("verify", "show"):
        result = CliRunner().invoke(app, ["audit", command, "--home", str(home.root)])
        assert (result.exit_code, "1 " in result.stdout) == (0, True), result.output
    with pytest.raises(ConfigurationError, match=r"config\.exists"):
        make(tmp_path / "other", database)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("mysql://host/log", ConfigurationError),
        ("postgresql+psycopg://hanse@127.0.0.1:1/log", AuditError),
    ],
)
def test_a_database_that_cannot_be_used(tmp_path: Path, url: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"audit_url|audit\.unavailable"):
        make(tmp_path / "hub", url)
    assert not CoordinatorHome(tmp_path / "hub").identity.exists()


def test_a_password_stays_out_of_the_settings(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database.replace("hanse@", "hanse:secret-word@")
    home = make(tmp_path / "hub", url)
    assert "secret-word" not in home.settings.read_text()
    assert ServerSettings.load(home.root).audit_url is None
    monkeypatch.setenv("HANSE_SERVER_AUDIT_URL", url)
    assert ServerSettings.load(home.root).audit_url == url

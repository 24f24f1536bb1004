"""One ledger on each database: SQLite in a file, PostgreSQL on a server of the tests' own."""

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from hanse.policies import ConsentLedger

SUPERUSER = "hanse"
SERVER_USER = "nobody"  # a server refuses to run as root


def _programs() -> Path | None:
    """Folder of the server's programs; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl") is not None:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


def _as_server(*command: str) -> list[str]:
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={SERVER_USER}", "--regid=nogroup", "--clear-groups", *command]


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a private server; fails where continuous integration lacks one."""
    programs = _programs()
    if programs is None:
        reason = "PostgreSQL is not installed; on Debian: apt-get install postgresql"
        if os.environ.get("CI") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    # A socket's path is short, and pytest's folders are closed to other users.
    folder = Path("/tmp") / f"hanse-pg-{secrets.token_hex(4)}"  # noqa: S108
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        shutil.chown(folder, SERVER_USER)
    data = folder / "data"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = str(programs / "pg_ctl"), "-D", str(data)
    options = (
        f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -p {port} -c shared_buffers=32MB"
    )
    log = tmp_path_factory.mktemp("postgresql") / "log"

    def run(*command: str) -> None:
        with log.open("ab") as output:
            subprocess.run(
                _as_server(*command),
                check=True,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd="/",
            )

    try:
        run(
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        )
        run(*server, "-w", "-o", options, "-l", str(folder / "server.log"), "start")
        try:
            yield f"postgresql+psycopg://{SUPERUSER}@127.0.0.1:{port}/postgres"
        finally:
            run(*server, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgresql: str) -> str:
    """URL of a database with nothing in it."""
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Dropping what another test made would wait for whatever of it still has a table open.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new ledger can be, on each database in turn."""
    if request.param == "sqlite":
        return tmp_path / "consent.db"
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture
def ledger(place: Path | str) -> Iterator[ConsentLedger]:
    """An empty ledger on each database in turn."""
    with ConsentLedger(place) as opened:
        yield opened


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[ConsentLedger]:
    """An empty ledger in a file, for what does not depend on the database."""
    with ConsentLedger(tmp_path / "consent.db") as opened:
        yield opened

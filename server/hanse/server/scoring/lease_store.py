"""Where the leases of all replicas stand: a SQLite file of the member, or the consent ledger's database.

``quota_leases`` has a row per lease. A lease that was given back says how many of its rows were not used; it
is given back once, however often that is tried. A lease that never was counts as a whole.

A lease is taken every few calls, and opening a file of SQLite takes longer than that: its connection stays
open, as long as it is still that file which lies there.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    Table,
    Text,
    case,
    func,
    insert,
    select,
)

from hanse.errors import ServingError
from hanse.server.scoring.leases import Account, Lease, added_rows, day_to_charge, lease_rows
from hanse.storage import Database, Use

KEPT_DAYS: Final = 35
"""How long leases of days that are over are kept, for whoever asks how much was used."""

_metadata: Final = MetaData()
leases: Final = Table(
    "quota_leases",
    _metadata,
    Column("lease", Text, primary_key=True),
    Column("day", Text, nullable=False),  # ISO 8601, which sorts like the days
    Column("agreement", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("replica", Text, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("unused", BigInteger),  # NULL: with its replica, or lost with it
    Index("quota_leases_of_day", "day", "agreement", "caller"),
)
_USE: Final = Use(
    name="the record of quotas",
    setting="consent_url",
    failure=lambda _, text: ServingError("scoring.quota-store", text),
    lock=0x48414E51,
)
_OUT: Final = func.coalesce(func.sum(leases.c.rows - func.coalesce(leases.c.unused, 0)), 0)
_WITH_REPLICAS: Final = func.coalesce(func.sum(case((leases.c.unused.is_(None), leases.c.rows), else_=0)), 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller has had of a day's quota.

    Attributes:
        day: The day, UTC.
        account: Whose.
        quota: Rows of the day, as the last lease was told.
        out: Rows that count as used: answered, or out on leases.
        leased: Those of them that are on leases not given back yet: some may be given back, the others are
            answered, or were lost with their replica.
    """

    day: date
    account: Account
    quota: int
    out: int
    leased: int

    @property
    def left(self) -> int:
        """Rows that can still be leased."""
        return max(self.quota - self.out, 0)


class LeaseStore:
    """The leases of all replicas of one member. Safe for threads and processes.

    Args:
        place: A file, made if it does not exist; or a URL that starts with ``postgresql+psycopg://``.
        create: Whether what is not there is made.

    Raises:
        ServingError: ``scoring.quota-store`` if it cannot be opened.
        ConfigurationError: ``config.invalid`` if the URL is not supported.
    """

    def __init__(self, place: Path | str, *, create: bool = True) -> None:
        self._database = Database(place, _USE, create=create)
        self._file = Path(place) if self._database.is_sqlite else None
        self._kept: _Kept | None = None
        self._guard = threading.Lock()  # around what is kept, and whoever uses it
        if create:
            with self._writing() as connection:
                _metadata.create_all(connection)

    def take(
        self,
        account: Account,
        quota: int,
        wanted: int,
        clock_day: date,
        *,
        replica: str = "",
        returned: Sequence[Lease] = (),
    ) -> Lease | None:
        """Gives leases back and takes another, in one transaction; on return it is durable.

        Args:
            account: For whom.
            quota: Rows of the day.
            wanted: Rows of the call that needs the lease.
            clock_day: Today, by the replica's clock.
            replica: Name of the replica, for people.
            returned: As :meth:`give_back` takes them. They are given back even if there is no other.

        Returns:
            The lease, of at least ``wanted`` rows; None if the day has not so many left.

        Raises:
            ServingError: ``scoring.quota-store`` if the store cannot be used, or the clock is days behind it.
                Whether leases were given back is not known then; it may be tried again.
        """
        with self._writing() as connection:
            newest = _newest(connection)
            day = day_to_charge(clock_day, newest)
            if newest is not None and day > newest:
                _forget(connection, day - timedelta(days=KEPT_DAYS))
            _give_back(connection, returned)
            rows = lease_rows(quota, _rows_out(connection, day, account), wanted)
            if not rows:
                return None
            return _lease(connection, account, day, quota, rows, replica)

    def renew(self, account: Account, before: Lease, clock_day: date, *, replica: str = "") -> Lease | None:
        """Takes a lease in the place of one that is still spent of, in one transaction.

        The new one has what is left of that, and as many rows more as make it a whole one. What is spent of
        the old one from now on is to be charged to the new one. If it is not known whether there is one, the
        old one may be spent as before: a new one counts as a whole then, and has all that is left of the old.

        Args:
            account: Whose.
            before: The lease as it is when this begins; a copy, of which nothing is spent.
            clock_day: Today, by the replica's clock.
            replica: As :meth:`take`.

        Returns:
            The new lease; None if the old one stays: no rows are left, its day is over for another replica,
            or it was given back.

        Raises:
            ServingError: As :meth:`take`.
        """
        with self._writing() as connection:
            if day_to_charge(clock_day, _newest(connection)) != before.day:
                return None
            added = added_rows(before.quota, _rows_out(connection, before.day, account), before.left)
            if not added or not _give_back(connection, [before]):
                return None
            return _lease(connection, account, before.day, before.quota, before.left + added, replica)

    def give_back(self, unused: Sequence[Lease]) -> None:
        """Gives back what is left of leases, of which nothing more will be spent.

        Args:
            unused: Leases; one that was given back already stays as it is.

        Raises:
            ServingError: ``scoring.quota-store``; it may be tried again.
        """
        with self._writing() as connection:
            _give_back(connection, unused)

    def close(self) -> None:
        """Closes the connection that is kept; the next use opens another."""
        with self._guard:
            self._drop()

    def usage(self, since: date) -> Sequence[Usage]:
        """What callers have had.

        Args:
            since: The first day.

        Returns:
            A line per day and account, newest day first.

        Raises:
            ServingError: ``scoring.quota-store``.
        """
        keys = (leases.c.day, leases.c.agreement, leases.c.caller)
        asked = (
            select(*keys, func.max(leases.c.quota), _OUT, _WITH_REPLICAS)
            .where(leases.c.day >= since.isoformat())
            .group_by(*keys)
            .order_by(leases.c.day.desc(), leases.c.agreement, leases.c.caller)
        )
        with self._database.errors(), closing(self._database.reader()) as connection, connection.begin():
            return [
                Usage(date.fromisoformat(day), Account(agreement, caller), quota, int(out), int(leased))
                for day, agreement, caller, quota, out, leased in connection.execute(asked)
            ]

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that excludes every other writer; on the way out it is durable."""
        if self._file is None:
            with self._database.errors(), self._database.writer() as connection, connection.begin():
                yield connection
            return
        with self._guard, self._database.errors():
            connection = self._connection(self._file)
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                self._drop()  # whatever it is, the next one begins with a new connection
                raise

    def _connection(self, file: Path) -> Connection:
        """The connection that is kept, or a new one if another file, or none, lies there by now."""
        found = _identity(file)
        if self._kept is None or self._kept.file != found:
            self._drop()
            self._kept = _Kept(self._database.writer(), found)
        return self._kept.connection

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.connection.close()


class _Kept(NamedTuple):
    """A connection that stays open, and which file it is to."""

    connection: Connection
    file: tuple[int, int] | None


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file lies there; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _lease(connection: Connection, account: Account, day: date, quota: int, rows: int, replica: str) -> Lease:
    lease = Lease(secrets.token_hex(16), day, quota, rows)
    row = {
        "lease": lease.lease_id,
        "day": day.isoformat(),
        "agreement": account.agreement,
        "caller": account.caller,
        "replica": replica,
        "quota": quota,
        "rows": rows,
    }
    connection.execute(insert(leases), row)
    return lease


def _newest(connection: Connection) -> date | None:
    newest = connection.execute(select(func.max(leases.c.day))).scalar_one()
    return None if newest is None else date.fromisoformat(newest)


def _rows_out(connection: Connection, day: date, account: Account) -> int:
    asked = select(_OUT).where(
        leases.c.day == day.isoformat(),
        leases.c.agreement == account.agreement,
        leases.c.caller == account.caller,
    )
    return int(connection.execute(asked).scalar_one())


def _give_back(connection: Connection, unused: Sequence[Lease]) -> int:
    """Gives leases back; how many of them were not yet."""
    given = 0
    for lease in unused:
        mine = leases.update().where(leases.c.lease == lease.lease_id, leases.c.unused.is_(None))
        given += connection.execute(mine, {"unused": lease.left}).rowcount
    return given


def _forget(connection: Connection, before: date) -> None:
    connection.execute(leases.delete().where(leases.c.day < before.isoformat()))

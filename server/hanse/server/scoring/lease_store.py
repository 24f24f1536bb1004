"""Where the leases of all replicas stand: a SQLite file of the member, or the consent ledger's database.

``quota_leases`` has a row per lease. A lease that was given back says how many of its rows were not used; it
is given back once, however often that is tried. A lease that never was counts as a whole.
"""

import secrets
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

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
from hanse.server.scoring.leases import Account, Lease, day_to_charge, lease_rows
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
        if create:
            with self._database.errors(), self._database.writer() as connection, connection.begin():
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
        with self._database.errors(), self._database.writer() as connection, connection.begin():
            newest = _newest(connection)
            day = day_to_charge(clock_day, newest)
            if newest is not None and day > newest:
                _forget(connection, day - timedelta(days=KEPT_DAYS))
            _give_back(connection, returned)
            rows = lease_rows(quota, _rows_out(connection, day, account), wanted)
            if not rows:
                return None
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

    def give_back(self, unused: Sequence[Lease]) -> None:
        """Gives back what is left of leases, of which nothing more will be spent.

        Args:
            unused: Leases; one that was given back already stays as it is.

        Raises:
            ServingError: ``scoring.quota-store``; it may be tried again.
        """
        with self._database.errors(), self._database.writer() as connection, connection.begin():
            _give_back(connection, unused)

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


def _give_back(connection: Connection, unused: Sequence[Lease]) -> None:
    for lease in unused:
        mine = leases.update().where(leases.c.lease == lease.lease_id, leases.c.unused.is_(None))
        connection.execute(mine, {"unused": lease.left})


def _forget(connection: Connection, before: date) -> None:
    connection.execute(leases.delete().where(leases.c.day < before.isoformat()))

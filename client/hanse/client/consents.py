"""The consent ledger of a member's folder, and the files that feed it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hanse.client.home import MemberHome
from hanse.client.parquet import open_parquet
from hanse.client.settings import NodeSettings
from hanse.policies import ConsentLedger
from hanse.policies.ledger.csv_rows import open_csv
from hanse.policies.ledger.intake import Source


def open_ledger(home: MemberHome) -> ConsentLedger:
    """Opens the ledger that the member's settings name: a database, or the file in the folder.

    Args:
        home: The member's folder.

    Returns:
        The ledger; close it.

    Raises:
        ConfigurationError: ``config.missing-file``, ``config.invalid`` if the settings cannot be read, or
            name a database that is not supported.
        PolicyError: ``policy.ledger`` if it cannot be opened.
    """
    url = NodeSettings.load(home.root).consent_url
    return ConsentLedger(home.consent if url is None else url)


@contextmanager
def open_events(path: Path) -> Iterator[Source]:
    """Opens a file of consent events by its name: ``.parquet``, or CSV, which may be ``.gz``.

    Args:
        path: The file.

    Raises:
        PolicyError: ``policy.invalid`` if it does not name the columns.
        ConfigurationError: ``config.missing-file``, ``config.bad-data`` if it cannot be read.
    """
    opened = open_parquet(path) if path.suffix == ".parquet" else open_csv(path)
    with opened as source:
        yield source

"""Writes example files for members, so that the commands can be tried by hand (docs/how-to-two-terminals.md).

``python -m hanse.demo.prepare FOLDER --members 2`` makes one folder per member with what an operator would
bring along: ``data.parquet`` (rows with the member's own identifiers), ``consent.csv`` (consent events with
the same identifiers), ``notice.txt`` (the privacy notice, version 2) and ``columns.yaml`` (the public data
dictionary, the same for all). The rows are the bundled bank data; identifiers and consent events are
generated, and ``manifest.json`` says so.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from hanse.crypto import write_atomic
from hanse.demo.data import load
from hanse.demo.members import ConsentTerms, notice_text, write_member
from hanse.demo.partition import MAXIMUM_MEMBERS, MemberData, partition
from hanse.errors import ConfigurationError
from hanse.policies import Column

COUNTRY = "DE"
PURPOSE = "joint_modelling.propensity"
SCORING_PURPOSE = "scoring.marketing"
PSEUDONYM_COLUMN = "subject_ref"
IDENTIFIER_COLUMN = "subject"


def prepare(folder: Path, members: int, now: datetime, rng: np.random.Generator) -> list[MemberData]:
    """Writes one folder per member below ``folder``.

    Args:
        folder: Folder to make.
        members: How many members share the bundled data.
        now: The time that the consent events are made up for, UTC.
        rng: Chooses identifiers, who consented, and when.

    Returns:
        The members, in the order of their names.

    Raises:
        ConfigurationError: ``config.exists`` when the folder has something in it; ``config.invalid`` when the
            data does not divide among that many members.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError("config.exists", f"{folder} holds other files; name another folder")
    shares = partition(load(), members)
    terms = ConsentTerms(
        organisations=tuple(member.organisation for member in shares),
        country=COUNTRY,
        purpose=PURPOSE,
        scoring_purpose=SCORING_PURPOSE,
        now=now,
    )
    for member in shares:
        target = folder / member.name
        target.mkdir(parents=True)
        situation = terms.situation(member.organisation, member.dictionary.columns)
        written = write_member(member, target, rng, situation, lambda identifier: identifier)
        write_atomic(target / "notice.txt", notice_text(situation.notice.version))
        _name_identifiers(written.consent)
        write_atomic(target / "columns.yaml", dictionary_yaml(member.dictionary.columns).encode())
    return shares


def dictionary_yaml(columns: Sequence[Column]) -> str:
    """The data dictionary as ``hanse agreement new --columns`` reads it."""
    facts = [column.model_dump(mode="json", exclude_defaults=True) for column in columns]
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)


def _name_identifiers(consent: Path) -> None:
    """Says in the header that the file holds identifiers, which ``hanse consent import`` then replaces."""
    header, rest = consent.read_text(encoding="utf-8").split("\n", 1)
    write_atomic(consent, f"{header.replace(PSEUDONYM_COLUMN, IDENTIFIER_COLUMN)}\n{rest}".encode())


def main() -> None:
    """Reads the command line, writes the files, and says what is where."""
    parser = argparse.ArgumentParser(description="Write example data, consent events and a data dictionary.")
    parser.add_argument("folder", type=Path, help="folder to make, one folder per member below it")
    parser.add_argument("--members", type=int, default=2, help=f"2 to {MAXIMUM_MEMBERS} (default: 2)")
    given = parser.parse_args()
    for member in prepare(given.folder, given.members, datetime.now(UTC), np.random.default_rng()):
        print(f"{given.folder / member.name}: {len(member.rows)} customers of {member.organisation}")  # noqa: T201


if __name__ == "__main__":
    main()

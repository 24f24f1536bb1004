"""Writes what a member of the demo has: rows, consent events, and a manifest that says what is made up.

The rows are data as published. Everything that ties them to people is generated here and named so: the
identifiers start with ``generated-``, the events too, and the manifest and the Parquet file's own metadata
list both. Subjects fall into profiles, most of them consenting, so that a run shows several rules at work.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from hanse.crypto import sha256_hex, write_atomic
from hanse.demo.kinds import GENERATED_NOTE, KINDS, SENSITIVE, Cells, Situation, given_between, possible_kinds
from hanse.demo.partition import MemberData
from hanse.policies import Column, Notice

SUBJECT_COLUMN: Final = "subject_id"
NOTICES: Final = MappingProxyType({"1": timedelta(days=900), "2": timedelta(days=400)})
"""Versions of the notice that the generated subjects were shown, and how long ago each was published."""

PROFILES: Final = MappingProxyType(
    {
        "granted": 0.76,
        "training-only": 0.05,
        "broader-purpose": 0.01,
        "given-again": 0.01,
        "guarded-minor": 0.01,
        "hides-optional": 0.02,
        "never-asked": 0.03,
        "withdrawn": 0.02,
        "expired": 0.01,
        "pre-ticked": 0.01,
        "bundled": 0.01,
        "conditional": 0.01,
        "service-only": 0.01,
        "old-notice": 0.01,
        "minor": 0.01,
        "recipient-not-named": 0.02,
    }
)
"""Share of each kind among the generated subjects of the demo."""

_FIELDS: Final = (
    *("event_id", "subject_ref", "state", "purposes", "given_at", "expires_at", "controller", "recipients"),
    *("categories", "notice_version", "notice_sha256", "notice_published_at", "method", "preticked"),
    *("bundled", "legal_basis", "conditional", "jurisdiction", "storage_country", "guardian_ref"),
    *("age_at_least", "withdrawal_method", "hidden_columns", "hidden_categories"),
)


@dataclass(frozen=True, slots=True)
class ConsentTerms:
    """What the generated consent forms of a demo said.

    Attributes:
        organisations: Every member's organisation: the recipients that a grant names.
        country: Where subjects and data are, ISO 3166 alpha-2.
        purpose: Purpose of the training.
        scoring_purpose: Purpose of the scoring.
        now: The time that the events are made up for, UTC; all of them are earlier.
    """

    organisations: tuple[str, ...]
    country: str
    purpose: str
    scoring_purpose: str
    now: datetime

    def situation(self, organisation: str, columns: Sequence[Column]) -> Situation:
        """What a valid consent to one organisation has to say.

        Args:
            organisation: Who asks.
            columns: The columns of the collaboration.
        """
        return Situation(
            controller=organisation,
            recipients=tuple(name for name in self.organisations if name != organisation),
            categories=tuple(sorted({column.classification for column in columns})),
            notices=generated_notices(self.now),
            jurisdiction=self.country,
            storage_country=self.country,
            purpose=self.purpose,
            scoring_purpose=self.scoring_purpose,
            now=self.now,
            separate=frozenset({SENSITIVE} if any(map(is_protected, columns)) else ()),
            required=tuple(column.name for column in columns if column.required),
            optional=tuple(column.name for column in columns if not column.required),
            requires_sensitive=any(c.required and c.classification == "sensitive" for c in columns),
            requires_public_place=any(c.required and c.special == "public_place" for c in columns),
        )


@dataclass(frozen=True, slots=True)
class WrittenMember:
    """What was written for one member.

    Attributes:
        data: Parquet file: ``subject_id``, the columns of the dictionary, the label.
        consent: CSV file of consent events.
        manifest: JSON file that says what the others hold, and what of it is generated.
        subject_ids: Identifier of every row, object ``(rows,)``.
        profiles: Kind of every row's subject, object ``(rows,)``; see :data:`hanse.demo.kinds.KINDS`.
    """

    data: Path
    consent: Path
    manifest: Path
    subject_ids: NDArray[np.object_]
    profiles: NDArray[np.object_]

    @property
    def consenting(self) -> NDArray[np.bool_]:
        """Rows whose generated consent covers the training, bool ``(rows,)``."""
        return np.array([KINDS[profile].rule is None for profile in self.profiles], dtype=np.bool_)


def is_protected(column: Column) -> bool:
    """Whether a separate consent is needed for a column."""
    return column.classification == "sensitive" or column.special == "public_place"


def generated_notices(now: datetime) -> tuple[Notice, ...]:
    """The privacy notices that the generated subjects were shown, oldest first.

    Args:
        now: The time that the events are made up for, UTC; the notices are older than all of them.
    """
    return tuple(
        Notice(version=version, sha256=sha256_hex(notice_text(version)), published_at=now - age)
        for version, age in NOTICES.items()
    )


def notice_text(version: str) -> bytes:
    """The exact text of a generated notice."""
    return f"Privacy notice, version {version}: {GENERATED_NOTE}\n".encode()


def allot(
    shares: Mapping[str, float], situation: Situation, n_rows: int, rng: np.random.Generator
) -> NDArray[np.object_]:
    """Gives every row a kind: each possible kind its share, whatever is left to the first one.

    Args:
        shares: Share of each kind; the first one takes what the others leave.
        situation: What is possible.
        n_rows: Number of rows.
        rng: Shuffles them.

    Returns:
        Kinds, object ``(rows,)``.
    """
    first, *others = shares
    possible = set(possible_kinds(situation))
    kinds = [kind for kind in others if kind in possible for _ in range(round(shares[kind] * n_rows))]
    filled = np.array([first] * n_rows, dtype=object)
    filled[: len(kinds)] = kinds[:n_rows]
    rng.shuffle(filled)
    return filled


def write_member(
    member: MemberData,
    folder: Path,
    rng: np.random.Generator,
    situation: Situation,
    ref: Callable[[str], str],
    shares: Mapping[str, float] = PROFILES,
) -> WrittenMember:
    """Write ``data.parquet``, ``consent.csv`` and ``manifest.json`` of ``member`` to ``folder``.

    Args:
        member: The member and its rows. Its test rows are not written.
        folder: Existing folder.
        rng: Chooses identifiers, kinds and times.
        situation: What a valid consent has to say.
        ref: The member's pseudonym of an identifier; the consent file holds pseudonyms only.
        shares: Share of each kind of subject.

    Returns:
        The files, and what was generated.

    Raises:
        OSError: A file cannot be written.
    """
    n_rows = len(member.rows)
    ids = np.array(
        [f"generated-{member.name}-{number:06d}" for number in rng.permutation(n_rows)], dtype=object
    )
    profiles = allot(shares, situation, n_rows, rng)
    written = WrittenMember(
        folder / "data.parquet", folder / "consent.csv", folder / "manifest.json", ids, profiles
    )
    _write_rows(member, ids, written.data)
    write_atomic(written.consent, _consent_csv(member.name, written, rng, situation, ref))
    write_atomic(written.manifest, _manifest(member))
    return written


def _write_rows(member: MemberData, ids: NDArray[np.object_], path: Path) -> None:
    dictionary = member.dictionary
    texts = np.where(member.rows.labels, dictionary.positive, dictionary.negative).astype(object)
    label = {dictionary.label: texts} if member.labelled else {}
    table = {SUBJECT_COLUMN: ids, **member.identifiers, **member.rows.columns, **label}
    with duckdb.connect() as connection:
        connection.register("rows", table)
        connection.execute(
            "COPY (SELECT * FROM rows) TO ? (FORMAT parquet, KV_METADATA {generated: ?, source: ?})",
            [str(path), f"{SUBJECT_COLUMN}: {GENERATED_NOTE}", f"{dictionary.source} ({dictionary.licence})"],
        )


def _manifest(member: MemberData) -> bytes:
    dictionary = member.dictionary
    document = {
        "member": member.name,
        "organisation": member.organisation,
        "dataset": dictionary.name,
        "source": dictionary.source,
        "licence": dictionary.licence,
        "rows": len(member.rows),
        "identifier": SUBJECT_COLUMN,
        "label": dictionary.label,
        "generated": {
            SUBJECT_COLUMN: GENERATED_NOTE,
            "consent.csv": GENERATED_NOTE,
            "organisation": GENERATED_NOTE,
        },
        "columns": [column.model_dump(mode="json") for column in dictionary.columns],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _consent_csv(
    name: str,
    written: WrittenMember,
    rng: np.random.Generator,
    situation: Situation,
    ref: Callable[[str], str],
) -> bytes:
    earliest, latest = given_between(situation)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, _FIELDS, lineterminator="\n")
    writer.writeheader()
    serial = 0
    for subject, kind, part in zip(
        written.subject_ids, written.profiles, rng.random(len(written.profiles)), strict=True
    ):
        events: list[Cells] = list(KINDS[kind].events(situation, earliest + part * (latest - earliest)))
        for event in events:
            serial += 1
            event_id = f"generated-{name}-event-{serial:07d}"
            writer.writerow({"event_id": event_id, "subject_ref": ref(str(subject)), **event})
    return stream.getvalue().encode()

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from hanse.demo.data import load
from hanse.demo.kinds import GENERATED_NOTE, KINDS
from hanse.demo.members import PROFILES, ConsentTerms, WrittenMember, generated_notices, write_member
from hanse.demo.partition import MemberData, partition
from hanse.policies import (
    Agreement,
    ConsentLedger,
    Disclosure,
    Pseudonymiser,
    builtin_pack,
    merge,
    screen,
)
from hanse.policies.facts import Job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = merge([builtin_pack("pipl"), builtin_pack("gdpr")])


@pytest.fixture(name="members", scope="module")
def _members() -> list[MemberData]:
    return partition(load(), 2)


def write(members: list[MemberData], folder: Path, ref: Pseudonymiser) -> WrittenMember:
    terms = ConsentTerms(
        organisations=tuple(member.organisation for member in members),
        country="SE",
        purpose="joint_modelling.propensity",
        scoring_purpose="scoring.marketing",
        now=NOW,
    )
    situation = terms.situation(members[0].organisation, members[0].dictionary.columns)
    return write_member(members[0], folder, np.random.default_rng(7), situation, ref.ref)


def test_rows_come_back_as_they_were(members: list[MemberData], tmp_path: Path) -> None:
    written = write(members, tmp_path, Pseudonymiser(bytes(32)))
    columns = duckdb.execute("SELECT * FROM read_parquet(?)", [str(written.data)]).fetchnumpy()
    rows = members[0].rows
    assert list(columns) == ["subject_id", *rows.columns, "y"]
    for name, values in rows.columns.items():
        assert columns[name].tolist() == values.tolist(), name
    assert [label == "yes" for label in columns["y"]] == rows.labels.tolist()
    assert len(set(columns["subject_id"].tolist())) == len(rows)


def test_what_is_generated_says_so(members: list[MemberData], tmp_path: Path) -> None:
    written = write(members, tmp_path, Pseudonymiser(bytes(32)))
    assert all(str(subject).startswith("generated-brand-") for subject in written.subject_ids)
    lines = written.consent.read_text().splitlines()
    assert all(line.startswith("generated-brand-") and GENERATED_NOTE in line for line in lines[1:])
    assert not any(str(subject) in written.consent.read_text() for subject in written.subject_ids[:50])
    manifest = json.loads(written.manifest.read_text())
    assert set(manifest["generated"]) == {"subject_id", "consent.csv", "organisation"}
    metadata = duckdb.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(written.data)]).fetchall()
    assert dict(metadata)[b"generated"] == f"subject_id: {GENERATED_NOTE}".encode()


def test_profiles_are_what_the_rules_decide(
    members: list[MemberData], agreement_of: Callable[[list[MemberData]], Agreement], tmp_path: Path
) -> None:
    ref = Pseudonymiser(bytes(32))
    written = write(members, tmp_path, ref)
    agreement = with_notices(agreement_of(members))
    refs = [ref.ref(str(subject)) for subject in written.subject_ids]
    with ConsentLedger(tmp_path / "consent.db") as ledger:
        report = ledger.ingest_csv(written.consent, NOW)
        snapshot = ledger.snapshot(NOW)
    job = Job(agreement, POLICY, agreement.purpose, NOW, members[0].name, snapshot.head)
    admission = screen(job, refs, snapshot)
    assert report.refused == ()
    assert admission.rows == tuple(np.flatnonzero(written.consenting).tolist())
    expected = Counter(KINDS[profile].rule for profile in written.profiles)
    del expected[None]
    assert admission.excluded_by_rule == expected
    assert set(expected) == {"P01", "P02", "P03", "P04", "P05", "P06", "P08", "P10"}
    assert admission.hidden_by_column == {"loan": int((written.profiles == "hides-optional").sum())}


def with_notices(agreement: Agreement) -> Agreement:
    """The agreement with what the generated subjects rely on."""
    every = (Disclosure(to="members", form="model"),)
    notices = generated_notices(NOW)
    return agreement.model_copy(
        update={
            "members": tuple(m.model_copy(update={"notices": notices}) for m in agreement.members),
            "columns": tuple(c.model_copy(update={"disclosure": every}) for c in agreement.columns),
        }
    )


def test_profiles_are_shares_of_one() -> None:
    assert sum(PROFILES.values()) == pytest.approx(1.0)

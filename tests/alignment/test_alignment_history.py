"""Rule P16: how often two members may align, and how similar their sets may be."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.alignment.aligning import make_rules, make_terms

from hanse.alignment.history import AlignmentHistory
from hanse.alignment.identifiers import Column, Prepared, prepare
from hanse.errors import AuditError, PolicyError
from hanse.policies.alignments import Earlier, require_alignment, require_disclosable
from hanse.policies.packs import BUILTIN, merge

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = merge(
    [BUILTIN["gdpr"]]
)  # ten alignments a day, a window of seven days, sets that differ by a hundred
RULES = make_rules(["code"], runs=12)


def ago(**time: int) -> datetime:
    return NOW - timedelta(**time)


@pytest.mark.parametrize(
    ("earlier", "may"),
    [
        ([], True),
        ([Earlier(ago(hours=1), 0)], True),  # the same set again
        ([Earlier(ago(hours=1), 1)], False),
        ([Earlier(ago(hours=1), 99)], False),
        ([Earlier(ago(hours=1), 100)], True),
        ([Earlier(ago(days=6, hours=23), 1)], False),
        ([Earlier(ago(days=7), 1)], True),
        ([Earlier(ago(days=8), None)], True),
        ([Earlier(ago(hours=1), None)], False),  # within the window, and no longer known
        ([Earlier(ago(hours=1), 0), Earlier(ago(days=2), 5)], False),
        ([Earlier(ago(hours=2), 500)] * 9, True),
        ([Earlier(ago(hours=2), 500)] * 10, False),
        ([Earlier(ago(hours=25), 500)] * 10, True),
        ([Earlier(ago(days=100), None)] * 12, False),  # the agreement's budget
    ],
)
def test_differences_stay_large_and_alignments_rare(earlier: Sequence[Earlier], may: bool) -> None:
    if may:
        require_alignment(earlier, RULES, POLICY, "insurer", NOW)
        return
    with pytest.raises(PolicyError) as refusal:
        require_alignment(earlier, RULES, POLICY, "insurer", NOW)
    assert (refusal.value.code, refusal.value.rule) == ("alignment.repeated", "P16")
    assert "insurer" in refusal.value.detail


def test_an_agreement_cannot_disclose_few() -> None:
    require_disclosable(make_rules(["code"], minimum=100), 50)
    for minimum, suppress_below in ((99, 50), (100, 101)):
        with pytest.raises(PolicyError, match=r"policy\.cohort"):
            require_disclosable(make_rules(["code"], minimum=minimum), suppress_below)


def people(numbers: Sequence[int]) -> Prepared:
    return prepare({"code": Column("id", list(numbers))}, RULES, "crm.csv", bytes)


def test_history_counts_people_of_sets_that_it_has_forgotten(tmp_path: Path) -> None:
    terms = [make_terms(["brand", "insurer", "media"], RULES, run=f"run-{number}") for number in range(5)]
    first = people(range(1000))
    nearly = people(range(1, 1000))
    other = people(range(200, 1200))
    history = AlignmentHistory(tmp_path / "alignments.db", b"k" * 32)
    history.begin("brand", first, terms[0], POLICY, ago(hours=3))
    history.begin("brand", first, terms[0], POLICY, ago(hours=2))  # resumed
    history.begin("brand", first, terms[1], POLICY, ago(hours=1))
    history.dispose()
    history = AlignmentHistory(tmp_path / "alignments.db", b"k" * 32)
    assert [history.count(name, terms[0].purpose) for name in ("insurer", "media", "shop")] == [2, 2, 0]
    with pytest.raises(PolicyError, match="differ by at least 100 people"):
        history.begin("brand", nearly, terms[2], POLICY, NOW)
    assert history.count("insurer", terms[0].purpose) == 2  # what was refused was none
    history.begin("brand", other, terms[3], POLICY, NOW)
    history.begin("brand", nearly, make_terms(["brand", "shop"], RULES), POLICY, NOW)  # another partner
    history.begin("brand", nearly, terms[4], POLICY, NOW + timedelta(days=8))
    stored = (tmp_path / "alignments.db").read_bytes()
    assert not any(one.tobytes()[:8] in stored for one in first.kinds[0][0][:100])  # keyed hashes only
    history.dispose()


def test_a_damaged_history_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "alignments.db").write_bytes(b"no database" * 100)
    with pytest.raises(AuditError, match=r"alignment\.history"):
        AlignmentHistory(tmp_path / "alignments.db", b"k" * 32)

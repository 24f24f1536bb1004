"""The rules, the arrays and both kinds of SQL say the same of every subject."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import insert, text
from tests.enforcement.conftest import FakeLedger, columns_of, run_duckdb
from tests.enforcement.enforcement_population import (
    NOW,
    NOW_MS,
    PURPOSE,
    agreement,
    job,
    make_snapshot,
    ref_of,
)

from hanse.enforcement import (
    ConsentColumns,
    Rulings,
    decide,
    first_failure_sql,
    ledger_query,
    mirror_query,
    require_agreement,
)
from hanse.errors import PolicyError
from hanse.policies import ConsentLedger, ConsentSnapshot, Standing, prepare_training, screen
from hanse.policies.admission import Ruling, first_failure
from hanse.policies.consent import Folding
from hanse.policies.facts import subject_facts
from hanse.policies.ledger import tables

if TYPE_CHECKING:
    from pathlib import Path

    from hanse.policies import Agreement

TRAINING_RULES = {*("P01", "P02", "P03", "P04", "P05", "P06", "P07", "P08", "P09", "P10", "P21")}


class Agreed(NamedTuple):
    """What all ways of deciding said."""

    rulings: list[Ruling]
    subject_rules: list[str | None]


def compare(snapshot: ConsentSnapshot, refs: list[str], document: Agreement) -> Agreed:
    """Decides in every way and fails if two differ about anybody."""
    columns = columns_of(snapshot)
    screening = prepare_training(job(document), columns)
    facts = [{**screening.facts, **subject_facts(snapshot, ref, PURPOSE)} for ref in refs]
    rules = [first_failure(screening.rules, one) for one in facts]
    rulings = [screening.decide(snapshot, ref) for ref in refs]

    places = columns.places(refs)
    decision, compiled = decide(screening, columns, places)
    assert [compiled.ruling(place) for place in places.tolist()] == rulings
    assert_same_decision(decision, rulings)

    case = first_failure_sql(screening.rules, screening.facts, columns)
    found = dict(run_duckdb(*mirror_query(columns, PURPOSE, case)))
    assert all(found[place] == rule for place, rule in zip(places.tolist(), rules, strict=True) if place >= 0)
    assert len(found) == len(columns)
    return Agreed(rulings, rules)


def assert_same_decision(decision: Any, rulings: list[Ruling]) -> None:
    rows = [number for number, ruling in enumerate(rulings) if ruling.rule is None]
    assert decision.rows.tolist() == rows
    assert decision.subjects == len(rows)
    assert decision.considered == len(rulings)
    failures = Counter(ruling.rule for ruling in rulings if ruling.rule is not None)
    assert decision.excluded_by_rule == dict(sorted(failures.items()))
    hidden: dict[str, list[int]] = {}
    for row in rows:
        for name in rulings[row].hidden:
            hidden.setdefault(name, []).append(row)
    assert {name: found.tolist() for name, found in decision.hidden.items()} == hidden


def run_on_ledger(snapshot: ConsentSnapshot, folder: Path, case: str) -> dict[str, str | None]:
    """Writes the standings into the tables of a ledger, and asks SQLite."""
    fake = FakeLedger(snapshot).standing_rows()
    with ConsentLedger(folder / "consent.db") as ledger, ledger._database.writer() as connection:
        numbers = {
            key: number for number, key in connection.execute(text("SELECT id, key FROM consent_purposes"))
        }
        connection.rollback()
        terms = [{"id": number, "digest": str(number), "body": "{}"} for number in fake.terms]
        connection.execute(insert(tables.terms), terms)
        rows = [
            {
                "subject": bytes.fromhex(ref),
                "purpose": numbers[purpose],
                "state": tables.STATE_CODES[state],
                "given_ms": given,
                "expires_ms": expires,
                "barrier_ms": barrier,
                "terms": number,
                "guardian": int(guardian),
                "age_at_least": age,
                "seq": 1,
            }
            for ref, purpose, state, given, expires, barrier, number, guardian, age in fake.rows
        ]
        connection.execute(insert(tables.standings), rows)
        found = {
            subject.hex(): rule for subject, rule in connection.execute(text(ledger_query(PURPOSE, case)))
        }
        connection.rollback()
    return found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "subjects", [pytest.param(20_000, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.soak)]
)
def test_nobody_is_decided_about_differently(tmp_path: Path, subjects: int) -> None:
    snapshot = make_snapshot(np.random.default_rng(2026), subjects)
    refs = [ref_of(number) for number in range(subjects + 20)]
    agreed = compare(snapshot, refs, agreement())

    columns = columns_of(snapshot)
    screening = prepare_training(job(agreement()), columns)
    case = first_failure_sql(screening.rules, screening.facts, columns)
    found = run_on_ledger(snapshot, tmp_path, case)
    known = [ref for ref in refs if snapshot.knows(ref)]
    assert set(found) == set(known)
    pure = dict(zip(refs, agreed.subject_rules, strict=True))
    assert [ref for ref in known if found[ref] != pure[ref]] == []

    # If a rule never came first, or nobody came through, nothing would have been compared.
    counts = Counter(agreed.subject_rules)
    assert counts[None] >= subjects // 10
    for required in ("health", "camera"):
        part = compare(snapshot, refs[: subjects // 20], agreement(required=required))
        counts.update(part.subject_rules)
    assert {rule: counts[rule] for rule in TRAINING_RULES if counts[rule] < subjects // 1000} == {}
    hidden = Counter(name for ruling in agreed.rulings for name in ruling.hidden)
    assert min(hidden["health"], hidden["camera"], hidden["extra km"]) >= 20
    assert sum(
        r.rule == "P05" and s is None for r, s in zip(agreed.rulings, agreed.subject_rules, strict=True)
    )


@pytest.mark.parametrize("minors", [True, False])
@pytest.mark.parametrize("provider", [True, False])
@pytest.mark.parametrize("abroad", [True, False])
def test_every_kind_of_job_is_decided_alike(*, minors: bool, provider: bool, abroad: bool) -> None:
    snapshot = make_snapshot(np.random.default_rng(11), 800)
    document = agreement(minors=minors, provider=provider, abroad=abroad)
    agreed = compare(snapshot, [ref_of(number) for number in range(810)], document)
    assert sum(rule is None for rule in agreed.subject_rules) > 100


def test_the_whole_screen_is_the_decision() -> None:
    snapshot = make_snapshot(np.random.default_rng(3), 500)
    refs = [ref_of(number) for number in (*range(510), *range(5))]
    admission = screen(job(agreement()), refs, snapshot)
    columns = columns_of(snapshot)
    decision, _ = decide(prepare_training(job(agreement()), columns), columns, columns.places(refs))
    assert decision.rows.tolist() == list(admission.rows)
    assert decision.subjects == admission.subjects
    assert decision.excluded_by_rule == admission.excluded_by_rule
    assert {name: tuple(rows.tolist()) for name, rows in decision.hidden.items()} == admission.hidden
    assert decision.hidden_by_column == admission.hidden_by_column


def change_of_mind(snapshot: ConsentSnapshot, ref: str, *, withdraw: bool) -> ConsentSnapshot:
    """The same ledger in which one subject has withdrawn, or hides a column."""
    standings = {purpose: dict(own) for purpose, own in snapshot.standings.items()}
    foldings = {PURPOSE: dict(snapshot.foldings[PURPOSE])}
    if withdraw:
        standings[PURPOSE][ref] = Standing("withdrawn", NOW_MS, None, None, None)
    else:
        foldings[PURPOSE][ref] = Folding(frozenset({"extra km"}), frozenset())
    return replace(snapshot, standings=standings, foldings=foldings)


@pytest.mark.parametrize("withdraw", [True, False], ids=["withdrawn", "hidden"])
def test_a_row_filter_that_differs_about_one_subject_stops_the_round(*, withdraw: bool) -> None:
    snapshot = make_snapshot(np.random.default_rng(4), 300)
    columns = columns_of(snapshot)
    screening = prepare_training(job(agreement()), columns)
    refs = [ref_of(number) for number in range(300)]
    places = dict(zip(refs, columns.places(refs).tolist(), strict=True))
    rulings = Rulings(screening, columns)
    require_agreement(screening, rulings, places, snapshot)

    one = next(ref for ref in refs if screening.decide(snapshot, ref) == Ruling(None))
    with pytest.raises(PolicyError, match="differ about 1 of 300") as caught:
        require_agreement(screening, rulings, places, change_of_mind(snapshot, one, withdraw=withdraw))
    assert caught.value.rule == "P32"


@pytest.mark.parametrize("hours", [24.001, 48, None])
def test_a_ledger_that_nobody_feeds_admits_nobody(hours: float | None) -> None:
    snapshot = make_snapshot(np.random.default_rng(5), 10)
    synced = None if hours is None else NOW - timedelta(hours=hours)
    stale = ConsentSnapshot(1, "11" * 32, NOW, snapshot.standings, synced)
    for copy in (stale, columns_of(stale)):
        with pytest.raises(PolicyError) as caught:
            prepare_training(job(agreement()), copy)
        assert caught.value.rule == "P10"


def test_a_copy_that_is_older_than_the_round_admits_nobody() -> None:
    snapshot = make_snapshot(np.random.default_rng(5), 10)
    with pytest.raises(PolicyError) as caught:
        prepare_training(job(agreement(), head=2), columns_of(snapshot))
    assert caught.value.rule == "P10"
    with pytest.raises(PolicyError):
        prepare_training(job(agreement()), ConsentColumns())


def test_who_unfolds_is_seen_whole_again() -> None:
    snapshot = make_snapshot(np.random.default_rng(6), 50)
    folding = Folding(frozenset({"extra km"}), frozenset())
    hiding = ConsentSnapshot(
        1, "11" * 32, NOW, snapshot.standings, NOW, {PURPOSE: dict.fromkeys(map(ref_of, range(50)), folding)}
    )
    columns = columns_of(hiding)
    rulings = Rulings(prepare_training(job(agreement()), columns), columns)
    hidden = [
        rulings.ruling(place).hidden for place in columns.places([ref_of(n) for n in range(50)]).tolist()
    ]
    assert any("extra km" in one for one in hidden)
    later = ConsentSnapshot(2, "22" * 32, NOW, snapshot.standings, NOW, {})
    columns.refresh(FakeLedger(later), NOW)
    rulings = Rulings(prepare_training(job(agreement()), columns), columns)
    hidden = [
        rulings.ruling(place).hidden for place in columns.places([ref_of(n) for n in range(50)]).tolist()
    ]
    assert not any("extra km" in one for one in hidden)

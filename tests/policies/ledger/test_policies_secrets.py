"""The secrets of subjects: one each, on every database, and none left of it once it is forgotten."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from hanse.errors import PolicyError
from hanse.policies import ConsentEvent, ConsentLedger
from hanse.policies.fields import to_ms
from hanse.policies.ledger import subject_secrets

Grant = Callable[..., ConsentEvent]
REFS = [f"{number:032x}" for number in range(700)]  # more than are looked up at once
PURPOSE = "joint_modelling"


def one(ledger: ConsentLedger, ref: str, now: datetime) -> bytes:
    [secret] = ledger.secrets_of([ref], now)
    return secret


def test_everybody_has_a_secret_of_their_own_and_keeps_it(ledger: ConsentLedger, now: datetime) -> None:
    assert ledger.secret_of(REFS[0]) is None
    first = ledger.secrets_of(REFS, now)
    assert len(set(first)) == len(first) == 700
    assert {len(secret) for secret in first} == {32}
    assert set(ledger.secrets_of(REFS[::-1], now + timedelta(days=1))) == set(first)
    assert one(ledger, REFS[3], now) in first
    kept = ledger.secret_of(REFS[3])
    assert kept is not None
    assert kept.secret in first
    assert kept[1:] == (to_ms(now), None, 0)
    assert len(ledger.secrets_of([REFS[3], REFS[3]], now)) == 1
    assert ledger.secrets_of([], now) == []
    ledger.verify()


def test_a_large_set_is_read_at_once_and_is_the_same(
    ledger: ConsentLedger, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ledger.secrets_of(REFS[:300], now)
    monkeypatch.setattr(subject_secrets, "_SCAN_SUBJECTS", 100)
    assert set(ledger.secrets_of(REFS[:300], now)) == set(few)
    assert len(set(ledger.secrets_of(REFS, now))) == 700
    assert set(ledger.secrets_of(REFS[:300], now)) == set(few)


def test_two_who_make_secrets_at_once_get_the_same(place: Path | str, now: datetime) -> None:
    found: list[set[bytes]] = []

    def make() -> None:
        with ConsentLedger(place) as opened:
            found.append(set(opened.secrets_of(REFS[:200], now)))

    with ConsentLedger(place):
        threads = [Thread(target=make) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_forgetting_waits_for_the_withdrawal_and_is_remembered(
    ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    ledger.record([grant()])
    ref = REFS[0]
    assert not ledger.forget(REFS[1], now)
    assert not ledger.forget("someone@example.org", now)
    old = one(ledger, ref, now)
    with pytest.raises(PolicyError, match="withdraw it first") as refused:
        ledger.forget(ref, now)
    assert refused.value.code == "policy.denied"
    assert one(ledger, ref, now) == old
    ledger.withdraw(ref, PURPOSE, now)
    later = now + timedelta(hours=1)
    assert ledger.forget(ref, later)
    assert not ledger.forget(ref, later)
    assert ledger.secret_of(ref) == (None, to_ms(now), to_ms(later), 1)
    again = now + timedelta(hours=2)
    new = one(ledger, ref, again)
    assert new != old
    assert ledger.secret_of(ref) == (new, to_ms(again), to_ms(later), 1)
    ledger.verify()


def test_a_grant_that_has_ended_by_itself_holds_up_nothing(
    file_ledger: ConsentLedger, grant: Grant, now: datetime
) -> None:
    file_ledger.record([grant()])
    one(file_ledger, REFS[0], now)
    with pytest.raises(PolicyError):
        file_ledger.forget(REFS[0], now)
    assert file_ledger.forget(REFS[0], now + timedelta(days=9999))


def test_nothing_of_a_forgotten_secret_is_in_any_file(tmp_path: Path, now: datetime) -> None:
    with ConsentLedger(tmp_path / "consent.db") as ledger:
        secrets = {ref: one(ledger, ref, now) for ref in REFS[:50]}

        def found(ref: str) -> bool:
            return any(secrets[ref] in path.read_bytes() for path in tmp_path.iterdir())

        assert found(REFS[7])
        assert ledger.forget(REFS[7], now)
        assert not found(REFS[7])
        assert found(REFS[8])
    assert not found(REFS[7])


def test_a_ledger_from_before_gets_the_table(tmp_path: Path, grant: Grant, now: datetime) -> None:
    with ConsentLedger(tmp_path / "consent.db") as ledger:
        ledger.record([grant()])
        with ledger._write() as connection:
            connection.exec_driver_sql("DROP TABLE consent_secrets")
    with ConsentLedger(tmp_path / "consent.db") as ledger:
        assert len(ledger.secrets_of(REFS[:1], now)) == 1
        assert ledger.head() == 1

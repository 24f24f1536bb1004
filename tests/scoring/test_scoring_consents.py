"""What is kept of decisions equals what would be decided anew, to the millisecond, whatever happens."""

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.conftest import CALLER, NOW, PSEUDONYM_KEY, PURPOSE, Keys, make_agreement, make_grant

from hanse.errors import PolicyError
from hanse.policies import (
    ConsentLedger,
    Job,
    Pseudonymiser,
    builtin_pack,
    check_call,
    hidden_values,
    merge,
    score_subjects,
)
from hanse.policies.fields import from_ms, to_ms
from hanse.policies.ledger.watching import LedgerWatch
from hanse.policies.purposes import SHARING
from hanse.server.scoring.consents import Consents

if TYPE_CHECKING:
    from hanse.server.scoring.served import Served

KEYS = Keys()
REFS = Pseudonymiser(PSEUDONYM_KEY)
POLICY = merge([builtin_pack("pipl"), builtin_pack("gdpr")])
AGREEMENT = make_agreement(KEYS)
NAMES = ("anna", "bert", "cleo")
WEEK = 7 * 86_400.0
EXAMPLES = int(os.environ.get("HANSE_CONSENT_EXAMPLES", "12"))


class Site:
    """A ledger, decisions that are kept, and what would be decided anew."""

    def __init__(self, folder: Path, remembered: int, agreement: Any = AGREEMENT) -> None:
        self.agreement = agreement
        self.ledger = ConsentLedger(folder / "consent.db")
        self.consents = Consents(self.ledger, REFS.ref, "brand", remembered)
        signed = SimpleNamespace(agreement=agreement, digest="0" * 64)
        self.served = cast("Served", SimpleNamespace(agreement=signed, policy=POLICY))
        self.events = 0

    def record(self, name: str, **changes: Any) -> None:
        self.events += 1
        self.ledger.record([make_grant(REFS.ref(name), event_id=f"event-{self.events}", **changes)])

    def kept(self, names: Sequence[str], now: datetime, purpose: str = PURPOSE) -> object:
        try:
            job = self.consents.open_call(self.served, CALLER, purpose, now)
            decided = self.consents.decide(self.served, job, names)
        except PolicyError as error:
            return error.code, error.rule
        return decided.rules, decided.hidden, decided.consent.head, decided.consent.root, decided.consent.size

    def admitted(self, names: Sequence[str], now: datetime) -> list[int]:
        """What is known of two calls about the same people, of names of one length: of few, and of many."""
        encoded = [name.encode() for name in names]
        array = np.array([np.void(name) for name in encoded], dtype=f"V{len(encoded[0])}")
        try:
            job = self.consents.open_call(self.served, CALLER, PURPOSE, now)
            return self.consents.admits(self.served, job, [frozenset(encoded), array])
        except PolicyError:
            return [0, 0]

    def anew(self, names: Sequence[str], now: datetime, purpose: str = PURPOSE) -> object:
        job = Job(self.agreement, POLICY, PURPOSE, now, "brand", self.ledger.head())
        refs = [REFS.ref(name) for name in names]
        try:
            check_call(job, CALLER, purpose)
            snapshot = self.ledger.snapshot(now, refs)
            hidden = hidden_values(job, refs, snapshot)
            rules = score_subjects(job, refs, snapshot)
        except PolicyError as error:
            return error.code, error.rule
        denied = tuple("P26" if place in hidden.denied else rule for place, rule in enumerate(rules))
        return denied, dict(hidden.columns), snapshot.head, snapshot.root, snapshot.size


moments = st.sampled_from((-40 * 86_400.0, -86_400.0, -1.0, 0.0, 0.001, 1.0, 61.0, WEEK, 400 * 86_400.0))
changes = st.one_of(
    st.fixed_dictionaries(
        {
            "state": st.just("given"),
            "expires_at": moments,
            "given_at": st.sampled_from((-370 * 86_400.0, -2 * 86_400.0, -10.0, 0.0)),
            "age_at_least": st.sampled_from((None, 12, 40)),
            "notice_version": st.sampled_from(("1", "2")),
            "purposes": st.sampled_from((("scoring",), ("scoring.marketing", SHARING))),
        }
    ),
    st.fixed_dictionaries(
        {"state": st.sampled_from(("withdrawn", "objected", "refused")), "given_at": moments}
    ),
    st.fixed_dictionaries(
        {"state": st.just("narrowed"), "hidden_columns": st.sampled_from(((), ("age",), ("age", "job")))}
    ),
)
steps = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(NAMES), changes),
    st.tuples(st.just("heartbeat"), moments, st.none()),
    st.tuples(st.just("clock"), st.sampled_from((0.001, 0.999, 61.0, 86_400.0, WEEK, -WEEK)), st.none()),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(steps, max_size=8), st.sampled_from((0, 2, 1000)))
def test_kept_decisions_equal_those_taken_anew(happened: list[Any], remembered: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site, now = Site(Path(folder), remembered), NOW
        site.ledger.heartbeat(now)
        site.record("anna", expires_at=now + timedelta(seconds=61))
        for kind, what, how in happened:
            if kind == "event":
                times = {k: now + timedelta(seconds=v) for k, v in how.items() if k.endswith("_at")}
                given_at = times.get("given_at", now)
                recorded = max(now, given_at) if how["state"] == "given" else now
                site.record(what, **how | times | {"recorded_at": recorded})
            elif kind == "heartbeat":
                site.ledger.heartbeat(now + timedelta(seconds=what))
            else:
                now += timedelta(seconds=what)
            for names in (("anna", "bert", "anna"), NAMES):
                expected = site.anew(names, now)
                assert site.kept(names, now) == expected
                assert site.kept(names, now) == expected
            twice = ("bert", "anna", "bert")
            found: Any = site.anew(twice, now)
            size = 2 if found[:2] == ((None, None, None), {}) else 0
            assert set(site.admitted(twice, now)) <= {0, size}
            assert site.kept(twice, now) == found
            admitted = site.admitted(twice, now)
            assert admitted == [size, size] if remembered == 1000 else set(admitted) <= {0, size}
        site.ledger.close()


@pytest.mark.parametrize("remembered", [0, 1000])
def test_a_grant_ends_at_its_millisecond_and_not_before(tmp_path: Path, remembered: int) -> None:
    site = Site(tmp_path, remembered)
    end_ms = to_ms(NOW) + 5_000
    site.record("anna", expires_at=from_ms(end_ms))
    site.ledger.heartbeat(NOW)
    for at_ms, rule in ((0, None), (end_ms - 1, None), (end_ms, "P26"), (end_ms + 1, "P26")):
        now = from_ms(at_ms) if at_ms else NOW
        assert cast("Any", site.kept(("anna",), now))[0] == (rule,)
        assert site.kept(("anna",), now) == site.anew(("anna",), now)


def test_an_agreement_ends_and_a_ledger_goes_stale_on_time(tmp_path: Path) -> None:
    site = Site(tmp_path, 10)
    site.record("anna", expires_at=NOW + timedelta(days=90))
    site.ledger.heartbeat(NOW)
    until = AGREEMENT.valid_until
    stale = NOW + timedelta(hours=24)
    seen = set()
    for edge in (stale, until):
        if edge is until:
            site.ledger.heartbeat(until)
        for delta_ms in (-1001, -1, 0, 1, 1000, 1001, 2000, 61_000):
            now = edge + timedelta(milliseconds=delta_ms)
            assert site.kept(("anna",), now) == site.anew(("anna",), now)
            seen.add(str(site.kept(("anna",), now))[:25])
    assert len(seen) > 2
    assert site.kept(("anna",), NOW, "scoring.pricing") == site.anew(("anna",), NOW, "scoring.pricing")


def test_who_was_denied_is_not_forgotten_into_being_admitted(tmp_path: Path) -> None:
    site = Site(tmp_path, 2)
    site.record("anna")
    site.ledger.heartbeat(NOW)
    assert cast("Any", site.kept(("bert",), NOW))[0] == ("P26",)
    for names in (("anna", "bert", "cleo"), ("bert", "anna"), ("cleo", "bert", "dora", "anna")):
        expected = tuple(None if name == "anna" else "P26" for name in names)
        assert cast("Any", site.kept(names, NOW))[0] == expected


def test_a_ledger_that_cannot_be_looked_at_denies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, 10)
    site.record("anna")
    site.ledger.heartbeat(NOW)
    assert cast("Any", site.kept(("anna",), NOW))[0] == (None,)

    def fail(_: LedgerWatch) -> int:
        raise PolicyError("policy.ledger", "the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(LedgerWatch, "version", fail)
        assert site.kept(("anna",), NOW) == ("policy.ledger", None)
    assert cast("Any", site.kept(("anna",), NOW))[0] == (None,)


def test_another_process_withdraws(tmp_path: Path) -> None:
    site = Site(tmp_path, 10)
    site.record("anna")
    site.record("bert")
    site.ledger.heartbeat(NOW)
    assert cast("Any", site.kept(("anna", "bert"), NOW))[0] == (None, None)
    with ConsentLedger(tmp_path / "consent.db") as other:
        other.withdraw(REFS.ref("anna"), "scoring", NOW)
        assert cast("Any", site.kept(("anna", "bert"), NOW))[0] == ("P26", None)


def test_many_events_about_one_person_take_no_more_memory_than_one(tmp_path: Path) -> None:
    site = Site(tmp_path, 10)
    site.ledger.heartbeat(NOW)
    site.record("bert", expires_at=NOW + timedelta(days=3))
    assert cast("Any", site.kept(("bert",), NOW))[0] == (None,)
    for number in range(250):
        site.record("anna", expires_at=NOW + timedelta(days=2 + number % 5))
        assert cast("Any", site.kept(("anna",), NOW))[0] == (None,)
    (view,) = site.consents._views.values()
    assert len(view.ends) <= 2 * len(view.names) + 100
    # The ends that are left are those that count.
    site.record("anna", expires_at=NOW + timedelta(hours=5))
    for _ in range(60):
        site.record("cleo", expires_at=NOW + timedelta(hours=9))
        assert site.kept(("anna", "cleo"), NOW) == site.anew(("anna", "cleo"), NOW)
    for hours in (4.9, 5, 8.9, 9):
        now = NOW + timedelta(hours=hours)
        assert site.kept(("anna", "cleo"), now) == site.anew(("anna", "cleo"), now)

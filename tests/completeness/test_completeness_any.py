"""Whatever entries there are, a check ends with findings of known kinds, and never with an error."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hanse.audit import (
    Actor,
    Checkpoint,
    ConsentState,
    Counts,
    Entry,
    EventType,
    PrivacySpend,
    sign_checkpoint,
)
from hanse.audit.completeness import check_against, check_member, check_shared, roots_at, stated_sizes
from hanse.audit.findings import KINDS
from hanse.crypto import SigningKey

KEY = SigningKey.generate("brand")
ACTORS = [
    Actor(organisation=name, key_id="0123abcd", role=role)
    for name, role in (("hub", "coordinator"), ("brand", "member"), ("brand", "scorer"))
]
MEMBERS = ["brand", "insurer"]
DIGESTS = ["a" * 64, "b" * 64]
NOTES = [
    sign_checkpoint(Checkpoint("brand", size, bytes([root]) * 32), KEY).decode()
    for size in (0, 1, 3, 9)
    for root in (1, 2)
]
COUNT = st.one_of(st.integers(0, 30), st.sampled_from(["<10", "<3"]))
COUNTS = st.builds(
    Counts, rows_in=COUNT, rows_out=COUNT, by_rule=st.dictionaries(st.sampled_from(["P10", "P26"]), COUNT)
)
ABSENT = st.none()


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(ABSENT, strategy)


ENTRIES = st.builds(
    Entry,
    type=st.sampled_from(EventType),
    reasons=st.sampled_from([(), ("run.interrupted",), ("P10", "policy.denied")]),
    agreement=maybe(st.sampled_from(DIGESTS)),
    run=maybe(st.sampled_from(["run-a", "run-b"])),
    round=maybe(st.integers(1, 4)),
    peer=maybe(st.sampled_from(MEMBERS)),
    consent=maybe(st.builds(ConsentState, head=st.integers(0, 5), size=st.just(1))),
    counts=maybe(COUNTS),
    subject_set_root=maybe(st.sampled_from(DIGESTS)),
    subject_set_size=maybe(st.integers(0, 30)),
    aligned_set_root=maybe(st.sampled_from(DIGESTS)),
    rows_used=maybe(st.integers(0, 30)),
    model_in=maybe(st.sampled_from(DIGESTS)),
    model_out=maybe(st.sampled_from(DIGESTS)),
    privacy=maybe(st.builds(PrivacySpend, epsilon=st.floats(0, 9), delta=st.just(0.0))),
    member_checkpoint=maybe(st.sampled_from(NOTES)),
    detail=maybe(st.sampled_from(["prepared", "trained", "evaluated"])),
    seq=st.integers(0, 6),
    time=st.sampled_from(["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"]),
    clock_behind_ms=maybe(st.integers(1, 5000)),
    actor=st.sampled_from(ACTORS),
)
LOGS = st.lists(ENTRIES, max_size=14)


@given(LOGS, LOGS)
def test_any_logs(shared: list[Entry], own: list[Entry]) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    roots = roots_at([entry.canonical() for entry in own], stated_sizes(shared, "brand"))
    found = [
        *check_shared(shared, now=now),
        *check_member(own, "brand", now=now),
        *check_against(shared, "brand", own, roots.__getitem__, [KEY.verifier]),
    ]
    for finding in found:
        assert finding.kind in KINDS
        assert finding.meaning
        assert finding.remedy
        length = len(shared) if finding.log == "shared" else len(own)
        assert finding.entry is not None
        assert 0 <= finding.entry < length


@given(LOGS)
def test_a_check_says_the_same_twice(log: list[Entry]) -> None:
    assert check_shared(log) == check_shared(iter(log))
    assert check_member(log) == check_member(iter(log))

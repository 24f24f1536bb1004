"""What stands after events: re-granting, late and clock-skewed withdrawals, purposes above and below."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.policies import PURPOSES, ConsentEvent, Pseudonymiser, covers, current_state
from hanse.policies.purposes import covered_by

Grant = Callable[..., ConsentEvent]
REF = "0" * 32
USE = "joint_modelling.propensity"
START = datetime(2026, 1, 10, tzinfo=UTC)


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def event(grant: Grant, state: str, given: int | None, recorded: int, **fields: object) -> ConsentEvent:
    return grant(
        **{
            "event_id": f"event-{recorded}-{state}",
            "state": state,
            "given_at": None if given is None else at(given),
            "recorded_at": at(recorded),
            "expires_at": at(200),
            **fields,
        }
    )


def state_of(events: Sequence[ConsentEvent], use: str = USE) -> str:
    standing = current_state(events).get((REF, use))
    return "nothing" if standing is None else standing.state


def test_purposes_cover_themselves_and_what_is_below() -> None:
    assert covers("joint_modelling", "joint_modelling.propensity")
    assert covers("scoring", "scoring")
    assert not covers("joint_modelling.propensity", "joint_modelling")  # upward generalisation
    assert not covers("joint_modelling", "scoring.marketing")
    assert not covers("joint", "joint_modelling")
    assert not covers("joint_modelling", "joint_modelling.unheard_of")
    assert not covers("unheard_of", "unheard_of")
    assert covered_by("scoring") == ("scoring", "scoring.marketing", "scoring.retention")
    assert covered_by("unheard_of") == ()


@settings(deadline=None)
@given(st.sampled_from(list(PURPOSES)), st.sampled_from(list(PURPOSES)), st.sampled_from(list(PURPOSES)))
def test_covering_is_a_partial_order(a: str, b: str, c: str) -> None:
    assert covers(a, a)
    assert not (covers(a, b) and covers(b, c)) or covers(a, c)
    assert not (covers(a, b) and covers(b, a)) or a == b


def test_the_last_act_decides(grant: Grant) -> None:
    given_1 = event(grant, "given", 1, 1)
    withdrawn = event(grant, "withdrawn", 2, 2)
    given_2 = event(grant, "given", 3, 3)
    assert state_of([given_1]) == "given"
    assert state_of([given_1, withdrawn]) == "withdrawn"
    assert state_of([given_1, withdrawn, given_2]) == "given"
    assert state_of([given_1, withdrawn, given_2, event(grant, "objected", 4, 4)]) == "objected"


@pytest.mark.parametrize("state", ["refused", "withdrawn", "expired", "invalidated", "objected"])
def test_everything_but_giving_ends_consent(grant: Grant, state: str) -> None:
    assert state_of([event(grant, "given", 1, 1), event(grant, state, 2, 2)]) == state


def test_an_old_grant_that_arrives_late_does_not_undo_a_withdrawal(grant: Grant) -> None:
    withdrawn = event(grant, "withdrawn", 5, 5)
    assert state_of([withdrawn, event(grant, "given", 4, 6)]) == "withdrawn"
    assert state_of([withdrawn, event(grant, "given", 5, 6)]) == "withdrawn"  # at the same moment
    assert state_of([withdrawn, event(grant, "given", 6, 6)]) == "given"
    assert state_of([withdrawn, event(grant, "given", None, 6)]) == "withdrawn"


def test_a_withdrawal_counts_even_if_its_clock_is_slow(grant: Grant) -> None:
    assert state_of([event(grant, "given", 3, 3), event(grant, "withdrawn", 1, 4)]) == "withdrawn"
    assert state_of([event(grant, "given", 3, 3), event(grant, "withdrawn", None, 4)]) == "withdrawn"


def test_a_withdrawal_from_the_future_counts_from_when_it_was_known(grant: Grant) -> None:
    withdrawn = event(grant, "withdrawn", 900, 4)
    assert state_of([event(grant, "given", 3, 3), withdrawn]) == "withdrawn"
    assert state_of([withdrawn, event(grant, "given", 5, 5)]) == "given"


def test_an_older_withdrawal_does_not_lower_the_barrier(grant: Grant) -> None:
    ends = [event(grant, "withdrawn", 6, 6), event(grant, "withdrawn", 2, 7)]
    assert state_of([*ends, event(grant, "given", 4, 8)]) == "withdrawn"


def test_the_grant_given_last_decides_alone(grant: Grant) -> None:
    wide = event(grant, "given", 1, 3, recipients=("Hanse Versicherung Süd", "Everybody GmbH"))
    narrow = event(grant, "given", 2, 2, recipients=())
    for order in ([wide, narrow], [narrow, wide]):
        terms = current_state(order)[REF, USE].terms
        assert terms is not None
        assert terms.recipients == ()


def test_grants_and_withdrawals_reach_down_never_up(grant: Grant) -> None:
    above = event(grant, "given", 1, 1, purposes=("joint_modelling",))
    below = event(grant, "given", 1, 1)
    assert state_of([above]) == "given"
    assert state_of([below], "joint_modelling") == "nothing"
    assert state_of([above, event(grant, "withdrawn", 2, 2, purposes=("joint_modelling",))]) == "withdrawn"
    narrow = [above, event(grant, "withdrawn", 2, 2)]
    assert state_of(narrow) == "withdrawn"
    assert state_of(narrow, "joint_modelling") == "given"
    # Granting the wide purpose anew, after the narrow withdrawal, is a new act that covers it.
    assert state_of([*narrow, event(grant, "given", 3, 3, purposes=("joint_modelling",))]) == "given"


def test_subjects_do_not_affect_each_other(grant: Grant) -> None:
    other = event(grant, "withdrawn", 2, 2, subject_ref="f" * 32)
    assert state_of([event(grant, "given", 1, 1), other]) == "given"


def _stands(events: Sequence[ConsentEvent]) -> bool:
    """The same in the plainest words: a grant that was recorded and given after every end."""
    ends = [
        (i, min(e.given_at or e.recorded_at, e.recorded_at))
        for i, e in enumerate(events)
        if e.state != "given"
    ]
    return any(
        all(i > end and (grant.given_at or datetime.min.replace(tzinfo=UTC)) > time for end, time in ends)
        for i, grant in enumerate(events)
        if grant.state == "given"
    )


_ACTS = st.lists(
    st.tuples(st.sampled_from(["given", "withdrawn", "refused"]), st.none() | st.integers(0, 9)), max_size=8
)


@settings(deadline=None)
@given(_ACTS)
def test_folding_agrees_with_the_plain_definition(grant: Grant, acts: list[tuple[str, int | None]]) -> None:
    events = [event(grant, state, given, 10 + i) for i, (state, given) in enumerate(acts)]
    assert (state_of(events) == "given") == _stands(events)


@settings(deadline=None)
@given(_ACTS, st.integers(0, 8), st.integers(0, 9))
def test_one_more_withdrawal_never_helps(
    grant: Grant, acts: list[tuple[str, int | None]], place: int, day: int
) -> None:
    events = [event(grant, state, given, 10 + i) for i, (state, given) in enumerate(acts)]
    more = [*events[:place], event(grant, "withdrawn", day, 10), *events[place:]]
    assert state_of(events) == "given" or state_of(more) != "given"


def test_impossible_events_are_refused(grant: Grant) -> None:
    for fields in (
        {"given_at": "2026-01-21T10:00:00.001Z"},  # after it was recorded
        {"purposes": ()},
        {"purposes": ("world_domination",)},
        {"subject_ref": "+49 40 123456"},
        {"subject_ref": "A" * 32},
        {"event_id": "a b"},
        {"state": "maybe"},
        {"preticked": 0},
        {"notice_sha256": "ab"},
        {"surprise": 1},
    ):
        with pytest.raises(ValidationError):
            grant(**fields)


def test_pseudonyms_are_stable_keyed_and_unlinkable() -> None:
    one, other = Pseudonymiser(b"k" * 32), Pseudonymiser(b"q" * 32)
    assert one.ref("C-1042") == one.ref("C-1042")
    assert one.ref("C-1042") != one.ref("C-1042 ")
    assert one.ref("C-1042") != other.ref("C-1042")
    assert len(one.ref("C-1042")) == 32
    assert "k" * 8 not in repr(one)


@given(st.binary(min_size=32, max_size=100), st.text(min_size=1))
def test_a_pseudonym_is_an_hmac(key: bytes, identifier: str) -> None:
    import hmac

    assume(bool(identifier.strip()) and identifier.isprintable())
    expected = hmac.digest(key, b"hanse/subject-ref/v1\0" + identifier.encode(), "sha256")[:16].hex()
    assert Pseudonymiser(key).ref(identifier) == expected


def test_a_record_without_identifier_is_nobody() -> None:
    from hanse.errors import ConfigurationError, IdentityError

    for identifier in ("", "  ", "\ud800"):
        with pytest.raises(ConfigurationError) as refusal:
            Pseudonymiser(b"k" * 32).ref(identifier)
        assert refusal.value.code == "config.bad-data"
    with pytest.raises(IdentityError):
        Pseudonymiser(b"short")

"""Which version of an agreement may follow the accepted one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import PolicyError
from hanse.policies import Agreement
from hanse.policies.agreement.amendment import Accepted, amend, require_successor

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_amendment_names_what_it_follows(agreement: Agreement) -> None:
    second = amend(agreement)
    assert (second.id, second.version, second.supersedes) == (agreement.id, 2, agreement.digest)
    assert Agreement.from_yaml(second.to_yaml()) == second
    third = amend(second)
    assert (third.version, third.supersedes) == (3, second.digest)


def test_the_first_version_that_a_site_sees_may_be_any(agreement: Agreement) -> None:
    for version in (agreement, amend(amend(agreement))):
        require_successor(version, None)


def test_the_accepted_version_and_its_successor(agreement: Agreement) -> None:
    accepted = Accepted.of(agreement)
    require_successor(agreement, accepted)
    require_successor(amend(agreement), accepted)


def test_what_does_not_follow(agreement: Agreement, changed: Callable[..., Agreement]) -> None:
    second = amend(agreement)
    for asked, accepted, rule, told in (
        (agreement, second, "P31", "older"),
        (changed({"title": "Other"}), agreement, "P31", "another text"),
        (amend(changed({"title": "Other"})), agreement, "P20", "does not follow"),
        (amend(second), agreement, "P20", "versions between"),
    ):
        with pytest.raises(PolicyError, match=told) as caught:
            require_successor(asked, Accepted.of(accepted))
        assert (caught.value.code, caught.value.rule) == ("policy.denied", rule)


def test_what_was_accepted_is_remembered(agreement: Agreement) -> None:
    accepted = Accepted.of(agreement)
    assert Accepted.parse(accepted.encode()) == accepted


@given(st.binary(max_size=200))
def test_reading_is_total(data: bytes) -> None:
    with pytest.raises(PolicyError):
        Accepted.parse(data)

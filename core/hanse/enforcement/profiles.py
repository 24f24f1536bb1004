"""What many subjects' standings have in common: terms, state, guardian and age, each combination once.

A million subjects saw a few hundred forms. Whatever a rule asks about a form is asked once per distinct value
here, and is a table look-up for each subject.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.policies import Standing, Terms
from hanse.policies.facts import standing_facts, terms_facts

Codes: TypeAlias = npt.NDArray[np.int32]

ABSENT: Final = 0
"""Code of a fact that is absent, and profile of a subject about whom nothing is recorded."""

TIMES: Final = ("given", "expires")
"""Facts that every subject has a value of its own for; a profile only says whether it is known."""

_ANY_TIME_MS: Final = 0


class Profile(NamedTuple):
    """One combination.

    Attributes:
        terms: Number of the terms in the ledger; None without.
        state: State of the standing.
        guardian: Whether a guardian acted.
        age_at_least: Lower bound of the age, years; None if unknown.
        given: Whether the time of the grant is known.
        expires: Whether the time of its end is known.
        after_notice: Whether the grant was not given before its notice was published, both being known. It
            compares two facts of the same standing, which no job changes; so it is done once, when read.
    """

    terms: int | None
    state: str
    guardian: bool
    age_at_least: int | None
    given: bool
    expires: bool
    after_notice: bool


class Values(NamedTuple):
    """A fact over all profiles.

    Attributes:
        distinct: Its distinct values; the value of :data:`ABSENT` is no value.
        codes: For each profile the index of its value.
    """

    distinct: Sequence[object]
    codes: Codes


class Profiles:
    """The combinations that occur, numbered from 1; they are only ever added to."""

    def __init__(self) -> None:
        self._codes: dict[Profile, int] = {}
        self._facts: list[Mapping[str, object]] = [{}]
        self._terms: dict[int, Mapping[str, object]] = {}
        self._values: dict[str, Values] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def learn(self, terms: Mapping[int, Terms]) -> None:
        """Reads terms that profiles may name."""
        self._terms.update({number: terms_facts(one) for number, one in terms.items()})

    @property
    def terms(self) -> Mapping[int, Mapping[str, object]]:
        """The facts of all terms, by their numbers in the ledger."""
        return self._terms

    @property
    def profiles(self) -> Sequence[Profile]:
        """All combinations; the first has number 1."""
        return tuple(self._codes)

    def code(self, profile: Profile) -> int:
        """Number of a combination.

        Raises:
            KeyError: Its terms were never learnt.
        """
        code = self._codes.get(profile)
        if code is None:
            facts = self._make(profile)
            code = self._codes[profile] = len(self._facts)
            self._facts.append(facts)
            self._values.clear()
        return code

    def after_notice(self) -> npt.NDArray[np.bool_]:
        """Of each profile whether its grants were not given before their notice was published."""
        return np.array([False, *(profile.after_notice for profile in self._codes)])

    def values(self, name: str) -> Values:
        """A fact, by its name without prefix, over all profiles."""
        values = self._values.get(name)
        if values is None:
            values = self._values[name] = self._collect(name)
        return values

    def _make(self, profile: Profile) -> Mapping[str, object]:
        """The facts of a profile, by the same functions that make those of a subject."""
        terms = {} if profile.terms is None else self._terms[profile.terms]
        given = _ANY_TIME_MS if profile.given else None
        expires = _ANY_TIME_MS if profile.expires else None
        standing = Standing(profile.state, None, given, expires, None, profile.guardian, profile.age_at_least)
        return {**standing_facts(standing, granted=profile.terms is not None), **terms}

    def _collect(self, name: str) -> Values:
        # By type as well: True and 1 are equal, and are not the same fact.
        distinct: dict[tuple[type, object], int] = {}
        codes = np.zeros(len(self._facts), dtype=np.int32)
        for profile, facts in enumerate(self._facts):
            if name in facts:
                value = facts[name]
                codes[profile] = distinct.setdefault((type(value), value), len(distinct) + 1)
        return Values((None, *(value for _, value in distinct)), codes)

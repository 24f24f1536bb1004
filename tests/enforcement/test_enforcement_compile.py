"""Any formula over any facts: what is compiled from it says what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.enforcement.conftest import columns_of, run_duckdb

from hanse.enforcement import ADMITTED, FALSE, TRUE, RowFilter, first_failure_sql, mirror_query, specialise
from hanse.errors import PolicyError
from hanse.policies import ConsentSnapshot, Standing, Terms
from hanse.policies.facts import STANDING_FACTS, TERMS_FACTS, subject_facts
from hanse.policies.predicates import (
    AllOf,
    AnyOf,
    AtMost,
    Below,
    Equals,
    Exists,
    Fact,
    Is,
    Kind,
    OneOf,
    Predicate,
    Within,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PURPOSE = "joint_modelling.propensity"
PURPOSES = (PURPOSE, "sharing", "sensitive_data", "cross_border")
PREFIXES = ("grant", "sharing", "sensitive", "cross_border")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = st.sampled_from(["a", "b", "given", "c"])
NAMES = st.frozensets(WORDS, max_size=3)
FLAGS = st.none() | st.booleans()
TIMES = st.integers(-2, 4)


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


TERMS = st.builds(
    Terms,
    controller=_maybe(WORDS),
    recipients=NAMES.map(tuple),
    purposes=NAMES.map(tuple),
    categories=NAMES.map(tuple),
    notice_version=_maybe(st.sampled_from(["1", "1.2", "2.0"])),
    notice_sha256=_maybe(WORDS),
    notice_published_ms=_maybe(TIMES),
    method=_maybe(WORDS),
    preticked=FLAGS,
    bundled=FLAGS,
    jurisdiction=_maybe(WORDS),
    storage_country=_maybe(WORDS),
    legal_basis=_maybe(WORDS),
    conditional=FLAGS,
)
STANDINGS = st.builds(
    Standing,
    state=st.sampled_from(["given", "withdrawn", "refused"]),
    barrier_ms=st.none(),
    given_ms=_maybe(TIMES),
    expires_ms=_maybe(TIMES),
    terms=_maybe(TERMS),
    guardian=st.booleans(),
    age_at_least=_maybe(st.integers(0, 4)),
)
SUBJECTS = st.lists(st.dictionaries(st.sampled_from(PURPOSES), STANDINGS), max_size=6)
LOCAL = sorted(STANDING_FACTS | TERMS_FACTS)
# Mostly the facts of subjects, with the right kind or a wrong one; some of the job; some that nobody states.
FACTS = st.builds(
    Fact,
    st.one_of(
        st.builds("{}.{}".format, st.sampled_from(PREFIXES), st.sampled_from(LOCAL)),
        st.sampled_from(
            ["job.now", "job.names", "job.word", "job.flag", "subject.known", "budget.x", "job.half"]
        ),
    ),
    st.sampled_from(Kind),
)
NUMBERS = TIMES | st.sampled_from([0.5, -0.5, float("inf"), float("-inf"), float("nan"), True, 1 << 70])
OPERANDS = st.one_of(FACTS, FACTS, FACTS, NUMBERS, WORDS, NAMES)
LEAVES = st.one_of(
    st.builds(Is, FACTS, st.booleans()),
    st.builds(Exists, FACTS),
    *(st.builds(kind, OPERANDS, OPERANDS) for kind in (Equals, OneOf, Within, AtMost, Below)),
)
_CLOCK = ("given", "expires", "notice_published", "age_at_least")
TIME_FACTS = st.builds(
    Fact,
    st.builds("{}.{}".format, st.sampled_from(PREFIXES), st.sampled_from(_CLOCK)),
    st.sampled_from([Kind.TIME, Kind.COUNT, Kind.NUMBER]),
)
CLOCKS = st.builds(AtMost, TIME_FACTS, TIME_FACTS) | st.builds(Below, NUMBERS, TIME_FACTS)
PREDICATES = st.recursive(
    LEAVES | CLOCKS,
    lambda parts: st.lists(parts, max_size=4).flatmap(
        lambda some: st.sampled_from([AllOf(*some), AnyOf(*some)])
    ),
    max_leaves=12,
)
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "job.now": TIMES,
        "job.names": NAMES,
        "job.word": WORDS,
        "job.flag": st.booleans(),
        "job.half": st.sampled_from([0.5, 2.5]),
    },
)


def ref(number: int) -> str:
    return f"{number:032x}"


def snapshot_of(subjects: Sequence[dict[str, Standing]]) -> ConsentSnapshot:
    standings: dict[str, dict[str, Standing]] = {}
    for number, own in enumerate(subjects):
        for purpose, standing in own.items():
            standings.setdefault(purpose, {})[ref(number)] = standing
    return ConsentSnapshot(1, "00" * 32, NOW, standings)


@settings(max_examples=150, deadline=None)
@given(subjects=SUBJECTS, predicate=PREDICATES, job=JOBS)
def test_a_compiled_formula_says_what_the_formula_says(
    subjects: list[dict[str, Standing]], predicate: Predicate, job: dict[str, object]
) -> None:
    snapshot = snapshot_of(subjects)
    columns = columns_of(snapshot)
    refs = [ref(number) for number in range(len(subjects) + 1)]
    expected = [predicate.holds({**job, **subject_facts(snapshot, one, PURPOSE)}) for one in refs]

    smaller = specialise(predicate, job)
    assert [smaller.holds(subject_facts(snapshot, one, PURPOSE)) for one in refs] == expected
    assert not {fact.name for fact in smaller.facts()} & set(job)

    rules = [("P01", predicate)]
    compiled = RowFilter(rules, job, columns, PURPOSE)
    codes = np.append(compiled.decide().codes, compiled.nobody)
    assert [code == ADMITTED for code in codes[columns.places(refs)]] == expected

    sql, tables = mirror_query(columns, PURPOSE, first_failure_sql(rules, job, columns))
    if len(columns):
        places = columns.places(refs)
        found = dict(run_duckdb(sql, tables))
        assert [found[p] is None for p in places.tolist() if p >= 0] == [
            e for e, p in zip(expected, places.tolist(), strict=True) if p >= 0
        ]


@pytest.mark.parametrize("kind", [AllOf, AnyOf])
def test_nothing_to_satisfy_is_not_satisfied(kind: type[AllOf | AnyOf]) -> None:
    assert specialise(kind(), {}) is FALSE
    assert specialise(AllOf(TRUE, kind()), {}) is FALSE


def test_what_is_not_in_the_language_is_not_compiled() -> None:
    class Not(Predicate):
        pass

    with pytest.raises(PolicyError) as caught:
        specialise(AllOf(TRUE, Not()), {})
    assert caught.value.code == "policy.invalid"


def test_no_rule_permits_nothing() -> None:
    for compile_rules in (
        lambda columns: RowFilter([], {}, columns, PURPOSE),
        lambda columns: first_failure_sql([], {}, columns),
    ):
        with pytest.raises(PolicyError) as caught:
            compile_rules(columns_of(snapshot_of([])))
        assert caught.value.rule == "P01"

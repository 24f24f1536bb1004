"""Made-up rows and consents for an agreement: drawn from what it declares, and from no data.

Values fall into the declared cells, every cell as often as any other, and the label follows a made-up rule,
so that a model has something to learn. What comes out says nothing about how good a real model would be.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.demo.data import Rows
from hanse.demo.dictionaries import DataDictionary
from hanse.demo.kinds import CROSS_BORDER, KINDS, SENSITIVE, SHARING, Situation
from hanse.demo.members import is_protected
from hanse.demo.partition import MemberData
from hanse.errors import PolicyError
from hanse.policies import Agreement, Column, Member, Policy

DEFECT_SHARE: Final = 0.01
"""Share of the subjects of each kind that is not simply admitted."""

ADMITTED_SHARE: Final = 0.6
"""Share of the subjects that is admitted at least, however many kinds an agreement makes possible."""

MINIMUM_ROWS: Final = 2000
ADULT_YEARS: Final = 18
_MISSING: Final = 0.03
_MADE_UP_CATEGORIES: Final = 8
_POSITIVE: Final = -1.0  # mean log-odds of the label
_STRENGTH: Final = 1.0

SHARES: Final[Mapping[str, float]] = MappingProxyType(
    {kind: 1.0 if kind == "granted" else DEFECT_SHARE for kind in KINDS}
)
"""Every kind, the first of which takes what the others leave."""


def rows_needed(agreement: Agreement) -> int:
    """Rows with which every member's cohort is surely large enough."""
    return max(MINIMUM_ROWS, math.ceil(agreement.cohort.minimum_rows / ADMITTED_SHARE))


def synthetic_member(agreement: Agreement, member: Member, rows: int, rng: np.random.Generator) -> MemberData:
    """A member with made-up rows.

    Args:
        agreement: What the rows have to look like.
        member: Whose rows they are.
        rows: How many.
        rng: Draws them.
    """
    none = np.zeros(0, dtype=np.intp)
    drawn = synthetic_rows(agreement, rows, rng)
    return MemberData(
        name=member.name,
        organisation=member.organisation,
        dictionary=_dictionary(agreement),
        groups=("synthetic",),
        rows=drawn,
        test=drawn.take(none),
    )


def synthetic_rows(agreement: Agreement, rows: int, rng: np.random.Generator) -> Rows:
    """Rows whose values fall into the declared cells.

    Args:
        agreement: Columns and label.
        rows: How many.
        rng: Draws them.
    """
    columns, logits = {}, np.full(rows, _POSITIVE)
    for column in agreement.columns:
        cells = rng.integers(_cell_count(column), size=rows)
        effects = rng.normal(0.0, _STRENGTH / math.sqrt(len(agreement.columns)), size=_cell_count(column))
        logits += effects[cells]
        columns[column.name] = _values(column, cells, rng.random(rows) < _MISSING, rng)
    labels = rng.random(rows) < 1.0 / (1.0 + np.exp(-logits))
    return Rows(MappingProxyType(columns), labels)


def situation_of(agreement: Agreement, policy: Policy, member: Member, now: datetime) -> Situation:
    """What a valid consent to a member has to say under an agreement.

    Args:
        agreement: The agreement.
        policy: Its merged rule packs.
        member: Who asks.
        now: The time that the consents are made up for, UTC.

    Raises:
        PolicyError: ``policy.denied`` (P02) if the member has published no notice: no consent could count.
    """
    notices = sorted((n for n in member.notices if n.published_at <= now), key=lambda n: n.published_at)
    if not notices:
        raise PolicyError(
            "policy.denied",
            f"{member.name} has published no notice, so no consent could count; list its notices",
            rule="P02",
        )
    sensitive = any(map(is_protected, agreement.columns))
    wanted = {
        SENSITIVE: sensitive,
        SHARING: member.role == "provider",
        CROSS_BORDER: len(agreement.jurisdictions) > 1,
    }
    return Situation(
        controller=member.organisation,
        recipients=tuple(sorted(agreement.organisations - {member.organisation})),
        categories=tuple(sorted(agreement.classifications)),
        notices=tuple(notices),
        jurisdiction=member.jurisdiction,
        storage_country=member.storage_country,
        purpose=agreement.purpose,
        scoring_purpose=agreement.scoring.purpose,
        now=now,
        separate=frozenset(purpose for purpose, needed in wanted.items() if needed),
        age=max(ADULT_YEARS, int(policy.thresholds["child_below_years"].value)),
        minors=agreement.may_contain_minors,
        required=tuple(column.name for column in agreement.columns if column.required),
        optional=tuple(column.name for column in agreement.columns if not column.required),
        requires_sensitive=any(c.required and c.classification == "sensitive" for c in agreement.columns),
        requires_public_place=any(c.required and c.special == "public_place" for c in agreement.columns),
        accepted_bases=frozenset(
            {agreement.legal_basis, *(o.basis for o in agreement.overrides if o.member == member.name)}
        ),
        borders=len(agreement.jurisdictions) > 1,
        rules=frozenset(policy.rules),
    )


def _dictionary(agreement: Agreement) -> DataDictionary:
    positive = agreement.label.positive
    return DataDictionary(
        name="synthetic",
        title="Synthetic rows",
        source="drawn from the agreement",
        licence="none",
        columns=agreement.columns,
        label=agreement.label.name,
        positive=positive,
        negative="no" if positive != "no" else "yes",
        natural_key=(),
        key_title="",
        left_out=MappingProxyType({}),
    )


def _cell_count(column: Column) -> int:
    return len(column.edges) + 1 if column.kind == "numeric" else len(_words(column))


def _words(column: Column) -> tuple[str, ...]:
    """Categories of a column; made-up ones where the agreement lists none."""
    return column.categories or tuple(f"value {number}" for number in range(_MADE_UP_CATEGORIES))


def _values(
    column: Column, cells: NDArray[np.intp], missing: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[Any]:
    if column.kind == "categorical":
        words = np.array(_words(column), dtype=object)
        drawn: NDArray[np.object_] = words[cells]
        drawn[missing] = None
        return drawn
    lows = np.array([column.edges[0] - 1.0, *column.edges])
    highs = np.array([*column.edges, column.edges[-1] + 1.0])
    numbers: NDArray[np.float64] = lows[cells] + rng.random(len(cells)) * (highs[cells] - lows[cells])
    numbers[missing] = np.nan
    return numbers

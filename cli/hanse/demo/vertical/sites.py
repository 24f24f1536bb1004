"""A vertical story as sites of a federation, and the agreement that they sign."""

from types import MappingProxyType
from typing import Final, Required, TypedDict

import numpy as np

from hanse.client.drafting import Draft
from hanse.demo.data import Rows
from hanse.demo.dictionaries import DataDictionary
from hanse.demo.partition import MemberData
from hanse.demo.vertical.story import COUNTRY_CODE, MADE_UP, Holder, Story
from hanse.learning.vertical.recipe import VerticalModel, recommend_vertical
from hanse.policies import (
    DEFAULT_PACKS,
    AlignmentRules,
    Holding,
    LabelDefence,
    Trust,
    Vertical,
    builtin_pack,
)
from hanse.policies.agreement import Answers, IdentifierRule
from hanse.policies.agreement.vertical import ANSWER_FORMS

POSITIVE: Final = "yes"
_NEGATIVE: Final = "no"
_NONE: Final = np.zeros(0, dtype=np.intp)
_NORMALISED: Final = MappingProxyType({"email": "email_untagged", "phone": "phone"})
_SMALLEST_SET: Final = 1000
_MINIMUM: Final = 200
_BIN_ROWS: Final = 20
_EPSILON: Final = 1.0
_DAILY_PEOPLE: Final = 1000
_NOISED_LEAKAGE: Final = 0.8


class _Protection(TypedDict, total=False):
    """Fields of :class:`hanse.policies.Vertical`."""

    trust: Required[Trust]
    label_defence: LabelDefence
    maximum_leakage: float


def site_of(story: Story, holder: Holder) -> MemberData:
    """One party as a member that a federation makes a site of.

    Args:
        story: What it is part of.
        holder: The party.
    """
    first = holder is story.holders[0]
    labels = story.labels[holder.person] if first else np.zeros(len(holder.person), np.bool_)
    rows = Rows(MappingProxyType(dict(holder.values)), labels)
    return MemberData(
        name=holder.name,
        organisation=holder.organisation,
        dictionary=DataDictionary(
            name="vertical",
            title=story.title,
            source=MADE_UP,
            licence="generated",
            columns=holder.columns,
            label=story.label,
            positive=POSITIVE,
            negative=_NEGATIVE,
            natural_key=(),
            key_title="",
            left_out={},
        ),
        groups=(holder.name,),
        rows=rows,
        test=rows.take(_NONE),
        identifiers=holder.identifiers,
        labelled=first,
    )


def vertical_draft(story: Story, steps: int | None, caller: str, model: VerticalModel = "trees") -> Draft:
    """What the label holder proposes.

    Args:
        story: Who has what.
        steps: Trees of the model, or what a model of another kind has in their place; None for the usual.
        caller: System that may ask for scores.
        model: Kind of the model.
    """
    label_holder, *_ = story.holders
    kinds = [kind for kind in label_holder.identifiers if all(kind in h.identifiers for h in story.holders)]
    return Draft(
        identifier="vertical-propensity",
        title=f"Shared propensity model, {story.title}",
        proposer="data scientist of the brand",
        auditor="external auditor",
        columns=[column for holder in story.holders for column in holder.columns],
        label=story.label,
        positive=POSITIVE,
        training=recommend_vertical(model, steps),
        epsilon=None,
        delta=1e-5,
        minimum_rows=_MINIMUM,
        minimum_members=len(story.holders),
        callers=[caller],
        assessment="impact assessment of the demo",
        assessor="data protection office",
        packs=[builtin_pack(name).reference for name in DEFAULT_PACKS],
        vertical=Vertical(
            label_holder=label_holder.name,
            holdings=tuple(
                Holding(member=holder.name, columns=tuple(column.name for column in holder.columns))
                for holder in story.holders
            ),
            alignment=AlignmentRules(
                identifiers=tuple(_rule(kind) for kind in kinds),
                duplicates="leave_out",
                malformed="leave_out",
                minimum=_MINIMUM,
                smallest_set=_SMALLEST_SET,
                runs=20,
            ),
            minimum_bin_rows=_BIN_ROWS,
            answers=Answers(form=ANSWER_FORMS[model], daily_people=_DAILY_PEOPLE, fallback="own_columns"),
            **_protection(model),
        ),
    )


def _protection(model: VerticalModel) -> _Protection:
    """What members rely on; with noise on labels, a maximum that a flipped label stays below."""
    if model == "late_fusion":
        noise = LabelDefence(kind="label_noise", epsilon=_EPSILON)
        return {"trust": Trust(mode="direct"), "label_defence": noise, "maximum_leakage": _NOISED_LEAKAGE}
    if model == "split_network":
        return {"trust": Trust(mode="direct"), "label_defence": LabelDefence(kind="frozen_bottoms")}
    dealt = Trust(mode="dealer", dealer="coordinator", coordinator_colludes_with_no_member=True)
    return {"trust": dealt}


def _rule(kind: str) -> IdentifierRule:
    country = COUNTRY_CODE if kind == "phone" else None
    return IdentifierRule.model_validate(
        {"kind": kind, "normalisation": _NORMALISED[kind], "country_code": country}
    )

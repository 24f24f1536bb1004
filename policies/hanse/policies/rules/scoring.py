"""What must hold of scoring: of what an agreement says about it, and of every call."""

from collections.abc import Iterable
from typing import Final

from hanse.policies.packs import ALWAYS_PROHIBITED
from hanse.policies.predicates import AllOf, AnyOf, AtMost, Equals, Is, OneOf, Predicate
from hanse.policies.purposes import covered_by
from hanse.policies.rules.shapes import unless
from hanse.policies.rules.vocabulary import fact

SCORING_PURPOSES: Final = frozenset(covered_by("scoring"))

WITHOUT_CONTACT: Final = frozenset({"scoring.retention"})
"""Uses in which nobody is contacted, so that there is nothing to opt out of."""

DECLARED_PURPOSE: Final[Predicate] = OneOf(fact("scoring.purpose"), SCORING_PURPOSES)
PURPOSE_LOCK: Final[Predicate] = AllOf(
    OneOf(fact("call.caller"), fact("scoring.callers")),
    OneOf(fact("call.purpose"), fact("scoring.permitted")),
)
OPT_OUT: Final[Predicate] = AnyOf(
    OneOf(fact("call.purpose"), WITHOUT_CONTACT),
    AllOf(
        OneOf(fact("call.purpose"), SCORING_PURPOSES),
        Is(fact("caller.opt_out_available"), value=True),
        Is(fact("caller.non_personalised_path"), value=True),
    ),
)
REVIEW: Final = unless(
    fact("scoring.significant_effect"),
    Is(fact("scoring.human_review"), value=True),
    Is(fact("scoring.reason_codes"), value=True),
)
COARSE_OUTPUTS: Final = frozenset({"band", "decile", "segment", "flag", "list"})
"""Forms of a score that are coarse whatever decimals are agreed on."""

ROUNDED: Final = AnyOf(
    OneOf(fact("scoring.output"), COARSE_OUTPUTS),
    AllOf(
        Equals(fact("scoring.output"), "score"),
        AtMost(fact("scoring.decimals"), fact("policy.score_decimals")),
    ),
)
QUOTA: Final[Predicate] = AllOf(
    ROUNDED,
    AtMost(1, fact("call.subjects_today")),
    AtMost(fact("call.subjects_today"), fact("caller.daily_quota")),
    AtMost(fact("call.subjects_today"), fact("policy.scores_per_caller_per_day")),
)


def permitted_uses(purpose: str, prohibited: Iterable[str]) -> frozenset[str]:
    """The fact ``scoring.permitted``.

    Args:
        purpose: The agreement's ``scoring.purpose``.
        prohibited: What it and the rule packs prohibit, beside what always is: purposes, or words
            of which a use is made, as ``marketing``.

    Returns:
        The purpose and what is below it, without what is prohibited or has a prohibited word in it.
    """
    words = ALWAYS_PROHIBITED.union(prohibited)
    uses = SCORING_PURPOSES.intersection(covered_by(purpose))
    return frozenset(use for use in uses if words.isdisjoint((use, *use.split("."))))

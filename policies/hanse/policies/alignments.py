"""Whether two members' sets may be aligned: how often, how soon after a similar set, and how few are told.

Two alignments of sets that differ by one person show, in the difference of their results, whether the partner
knows that person. So rule P16 limits alignments per day, and asks that sets within a window differ by many or
not at all: an equal set shows nothing about one's own people that the one before did not. Each member decides
by its own sets; that the partner's sets do not differ by few is for the partner's node to see to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hanse.errors import PolicyError
from hanse.policies.agreement.alignment import AlignmentRules
from hanse.policies.packs import Policy
from hanse.policies.predicates import Facts
from hanse.policies.rules import RULES, Level

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Earlier:
    """An alignment of this member with one partner for one purpose.

    Attributes:
        at: When it began; it counts from then on, whatever became of it.
        change: People by which that set and the present one differ; None if that set is no longer known,
            which it has to be within the policy's window.
    """

    at: datetime
    change: int | None


def alignment_facts(earlier: Sequence[Earlier], policy: Policy, now: datetime) -> Facts:
    """What rule P16 decides by.

    Args:
        earlier: All alignments with the partner for the purpose.
        policy: The merged rule packs.
        now: The present.
    """
    least = policy.thresholds["minimum_set_change"].value
    window = policy.thresholds["alignment_window_days"].value * _DAY
    others = [one for one in earlier if one.change != 0 and (one.change is not None or now - one.at < window)]
    changes = [one.change or 0 for one in others]
    similar = [one.at for one, change in zip(others, changes, strict=True) if change < least]
    facts: dict[str, object] = {
        **policy.facts(),
        "alignment.runs_today": 1 + sum(now - one.at < _DAY for one in earlier),
        "alignment.first_in_window": not any(now - one.at < window for one in others),
    }
    if changes:
        facts["alignment.set_change"] = min(changes)
    if similar:
        facts["alignment.similar_age_days"] = max(0, (now - max(similar)) // _DAY)
    return facts


def require_alignment(
    earlier: Sequence[Earlier], rules: AlignmentRules, policy: Policy, partner: str, now: datetime
) -> None:
    """Refuses an alignment after too many, or of a set that is nearly that of another one.

    Args:
        earlier: All alignments with the partner for the purpose.
        rules: The agreement's.
        policy: The merged rule packs.
        partner: Name, for the message.
        now: The present.

    Raises:
        PolicyError: ``alignment.repeated`` (P16).
    """
    if len(earlier) >= rules.runs:
        raise PolicyError(
            "alignment.repeated",
            f"all {rules.runs} alignments with {partner} for this purpose of the agreement were made",
            rule="P16",
        )
    if RULES["P16"].requires[Level.ALIGNMENT].holds(alignment_facts(earlier, policy, now)):
        return
    per_day, days, people = (
        policy.thresholds[name].value
        for name in ("alignments_per_day", "alignment_window_days", "minimum_set_change")
    )
    raise PolicyError(
        "alignment.repeated",
        f"with {partner} for this purpose: at most {per_day} alignments in 24 hours, and within {days} days "
        f"only of the same set or of sets that differ by at least {people} people",
        rule="P16",
    )


def require_disclosable(rules: AlignmentRules, suppress_below: int) -> None:
    """Refuses an agreement by which a partner would be told of an intersection that is too small.

    Args:
        rules: The agreement's.
        suppress_below: Of the agreement's cohort.

    Raises:
        PolicyError: ``policy.cohort`` (P15).
    """
    facts = {"alignment.size": rules.minimum, "cohort.suppress_below": suppress_below}
    if not RULES["P15"].requires[Level.ALIGNMENT].holds(facts):
        raise PolicyError(
            "policy.cohort",
            f"the agreement's alignment has a minimum of {rules.minimum} people in common; raise it",
            rule="P15",
        )

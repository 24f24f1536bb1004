"""Who may be answered, about whom, with a score. Pure: no clock, no I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from hanse.errors import PolicyError
from hanse.policies.admission import GRANT_RULES, first_failure, make_request, require_fresh
from hanse.policies.agreement import Agreement
from hanse.policies.check import require_no_gap
from hanse.policies.purposes import covers
from hanse.policies.snapshot import ConsentSnapshot

ALWAYS_PROHIBITED: Final = frozenset({"pricing", "underwriting", "credit", "employment"})
"""Uses of a score that no agreement can allow (P23)."""


def check_call(agreement: Agreement, caller: str, purpose: str, now: datetime) -> None:
    """Refuses a scoring call that the agreement does not allow.

    Args:
        agreement: The agreement of the model.
        caller: Name of the authenticated caller.
        purpose: The use that the caller declares.
        now: Time of the call, with time zone.

    Raises:
        PolicyError: ``policy.denied`` if the agreement has a gap, or the caller or use is not allowed (P23);
            ``policy.purpose`` (P23) if the use is not the agreed one or below it.
    """
    require_no_gap(agreement, now)
    if agreement.scoring.caller(caller) is None:
        raise PolicyError("policy.denied", "the caller is not in scoring.callers", rule="P23")
    if not {*ALWAYS_PROHIBITED, *agreement.scoring.prohibited_uses}.isdisjoint(purpose.split(".")):
        raise PolicyError("policy.denied", "the declared use is prohibited", rule="P23")
    if not covers(agreement.scoring.purpose, purpose):
        raise PolicyError(
            "policy.purpose", "the declared use is not scoring.purpose nor below it", rule="P23"
        )


def score_subjects(
    agreement: Agreement, subject_refs: Sequence[str], snapshot: ConsentSnapshot, now: datetime
) -> list[str | None]:
    """Decides about whom a score may be computed now.

    Args:
        agreement: The agreement of the model; its ``scoring.purpose`` is the use.
        subject_refs: Pseudonym of each subject of the call.
        snapshot: A snapshot that was taken for this call.
        now: Time of the call, with time zone.

    Returns:
        For each subject None, or ``"P26"``. Why a subject is denied is the subject's affair: a caller who
        could tell a withdrawal from a missing grant would learn of the withdrawal.

    Raises:
        PolicyError: ``policy.denied`` (P10) if the snapshot is stale.
    """
    require_fresh(snapshot, now)
    request = make_request(agreement, agreement.scoring.purpose, now)
    failures = (first_failure(SCORING_RULES, request, snapshot, ref) for ref in subject_refs)
    return [None if failure is None else "P26" for failure in failures]


SCORING_RULES: Final = GRANT_RULES
"""What a subject must satisfy to be scored; all failures are told as P26."""

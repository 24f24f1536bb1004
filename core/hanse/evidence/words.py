"""What each type of entry says, in plain words, for tables and reports. No word here decides anything."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from hanse.audit import Entry, EventType

SAYS: Final = MappingProxyType(
    {
        EventType.MEMBER_INITIALISED: "The site was set up",
        EventType.POLICY_ADOPTED: "A rule pack was adopted",
        EventType.AGREEMENT_SIGNED: "The agreement was signed here",
        EventType.AGREEMENT_REFUSED: "The agreement was refused",
        EventType.AGREEMENT_ACCEPTED: "The signed agreement was accepted",
        EventType.AGREEMENT_TERMINATED: "The agreement was ended",
        EventType.AGREEMENT_ATTESTED: "Deletion or return after the end was attested",
        EventType.BUNDLE_REFUSED: "A configuration was refused",
        EventType.RUN_STARTED: "A run began",
        EventType.RUN_RESUMED: "The run went on after an interruption",
        EventType.RUN_PREPARED: "The run was prepared",
        EventType.RUN_REFUSED: "The run was refused",
        EventType.RUN_FINISHED: "The run finished",
        EventType.RUN_FAILED: "The run failed",
        EventType.ROUND_ADMITTED: "Rows were admitted by the rules",
        EventType.ROUND_DENIED: "The rules denied the step; no row was read",
        EventType.ROUND_TRAINED: "The model was trained on the admitted rows",
        EventType.ROUND_AGGREGATED: "The members' updates were combined",
        EventType.UPDATE_SCREENED: "A member's update was not taken as it was",
        EventType.ROUND_SUBMITTED: "A member stated what it did in this step",
        EventType.RUN_EVALUATED: "The model was evaluated",
        EventType.BUDGET_PLANNED: "A privacy budget was planned",
        EventType.BUDGET_SPENT: "Privacy budget was spent",
        EventType.MEMBER_LEFT: "A member left the run",
        EventType.MEMBER_RETURNED: "A member's node was restarted and asked again",
        EventType.MEMBER_JOINED: "A member that came late joined the run",
        EventType.MODEL_REGISTERED: "A model version was registered",
        EventType.MODEL_WITHHELD: "A model version is withheld: nobody gets it",
        EventType.MODEL_PROPOSED: "A change of what is served was proposed",
        EventType.MODEL_REJECTED: "A proposed change of what is served was rejected",
        EventType.MODEL_PROMOTED: "A model version was made the live one",
        EventType.MODEL_CANARY: "A model version was given a share of the subjects",
        EventType.MODEL_ROLLED_BACK: "What is served was rolled back",
        EventType.MODEL_RETIRED: "A model version was retired",
        EventType.MODEL_LOADED: "A scorer took up a model version",
        EventType.MODEL_UNLOADED: "An operator had a model taken out of service",
        EventType.MODEL_REFUSED: "A model version was not taken up",
        EventType.CONSENT_RECORDED: "Consent was recorded",
        EventType.CONSENT_WITHDRAWN: "Consent was withdrawn",
        EventType.CONSENT_EXPIRED: "Consent expired",
        EventType.CONSENT_FOLDED: "Old consent events were folded into the current state",
        EventType.CONSENT_SYNCED: "Consent was taken over from its source",
        EventType.CONSENT_RECEIPT: "A receipt was given to a person",
        EventType.SCORER_STARTED: "The scorer started",
        EventType.SCORER_STOPPED: "The scorer stopped",
        EventType.SCORE_ANSWERED: "Scores were given",
        EventType.SCORE_DENIED: "Scores were denied",
        EventType.SCORE_WITHHELD: "Scores that an earlier entry speaks of were not given after all",
        EventType.PART_ANSWERED: "The label holder was told on which side of cuts people are whom it scores",
        EventType.PART_DENIED: "The label holder was refused an answer about people it scores",
        EventType.PART_HEARD: "A feature holder's answer about people who are scored was received",
        EventType.PART_REUSED: "A feature holder's earlier answer was used again",
        EventType.PART_MISSED: "A feature holder did not answer about people who are scored",
        EventType.MESSAGE_REFUSED: "A message was refused",
        EventType.WITNESS_REFUSED: "The witness refused the shared log: alarm",
        EventType.WITNESS_REVIEWED: "A refusal of the witness was reviewed by a person",
        EventType.LOG_RESTORED: "The log was restored from a backup",
        EventType.LOG_KEY_ROTATED: "The log was handed over to a new key",
        EventType.CONSENT_FORGOTTEN: "What linked a person to receipts was deleted",
        EventType.SUBJECTS_DELETED: "Sets of subjects that are due were deleted",
        EventType.ALIGNMENT_ENTERED: "The site committed to the people that it aligns",
        EventType.ALIGNMENT_FINISHED: "The people in common were found",
        EventType.PEER_HEARD: "What was said to another member was noted",
        EventType.PART_KEPT: "The site kept its part of a model",
        EventType.AUDIT_EXPORTED: "An evidence package was made",
    }
)
"""By type; see :func:`says`."""


def says(entry: Entry) -> str:
    """What happened, in a few words.

    Args:
        entry: The entry.

    Returns:
        Words, or the type itself where there are none for it yet.
    """
    return SAYS.get(entry.type, entry.type.value)


def facts(entry: Entry) -> str:
    """The numbers and codes that a reader of one line wants to see.

    Args:
        entry: The entry.

    Returns:
        Short text; empty if there is nothing to add.
    """
    return "; ".join(_facts(entry))


def _facts(entry: Entry) -> Iterator[str]:
    if entry.peer is not None:
        yield entry.peer
    if entry.counts is not None:
        yield f"{entry.counts.rows_out} of {entry.counts.rows_in} rows"
        excluded = ", ".join(f"{count} by {rule}" for rule, count in sorted(entry.counts.by_rule.items()))
        if excluded:
            yield f"left out {excluded}"
    if entry.rows_used is not None:
        yield f"{entry.rows_used} rows used"
    if entry.privacy is not None:
        yield f"epsilon {entry.privacy.epsilon:.3f} at delta {entry.privacy.delta:g}"
    if entry.reasons:
        yield " ".join(entry.reasons)
    if entry.model_out is not None and entry.type is EventType.MODEL_REGISTERED:
        yield f"manifest {entry.model_out[:12]}…"
    if entry.clock_behind_ms is not None:
        yield f"clock {entry.clock_behind_ms} ms behind"

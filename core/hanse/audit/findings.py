"""What a check of completeness can find: one word per kind, what it means, and what to do about it.

A finding is no proof of bad faith: a machine that lost power leaves a run without an end, too. It says that
the log does not account for something, and where. Kinds that are marked as a note are nothing missing: they
are what a reader has to know to judge the rest.
"""

from types import MappingProxyType
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        meaning: What is wrong.
        remedy: What to do.
        note: Whether this is only to be known, and no reason to call a log incomplete.
    """

    meaning: str
    remedy: str
    note: bool = False


class Finding(NamedTuple):
    """Something that a log, or two logs together, do not account for.

    Attributes:
        kind: Key of :data:`KINDS`.
        entry: Index of the entry of :attr:`log` at which it shows; None if no single one.
        log: Whose log: ``shared``, or the name of a member.
        detail: What exactly; names runs, rounds, members and numbers of rows, nothing else.
        run: The run, if it is about one.
        round: The round, if it is about one.
    """

    kind: str
    entry: int | None
    log: str
    detail: str
    run: str | None = None
    round: int | None = None

    @property
    def meaning(self) -> str:
        """What is wrong, in general."""
        return KINDS[self.kind].meaning

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return KINDS[self.kind].remedy

    @property
    def is_note(self) -> bool:
        """Whether this is only to be known."""
        return KINDS[self.kind].note


_ASK: Final = "Ask whoever keeps the log for what is missing, and compare with a checkpoint that you saved."
_BOTH: Final = "Compare both logs at this entry; one of the two sides has to explain it."
_NODE: Final = "Ask the member what its node did then; do not rely on the run until it is explained."
_WAIT: Final = "Verify again later; if it stays, ask whoever keeps the log."
_CLOCK: Final = "Have the clock of that machine set by a time server."
_ROWS: Final = "Do not rely on the round: what was used is not what was admitted (P32). Ask the member."

KINDS: Final = MappingProxyType(
    {
        # One log of either kind
        "sequence-gap": Kind("An actor's entries are not numbered without gaps: some are missing.", _ASK),
        "sequence-repeated": Kind("An actor's number comes a second time, or goes back.", _ASK),
        "time-back": Kind("An entry is older than the one before.", _ASK),
        "time-future": Kind("An entry is later than the time of the check.", _CLOCK),
        "clock-behind": Kind("The clock was a second or more behind the last entry.", _CLOCK, note=True),
        "log-lost": Kind(
            "The log was put back from a backup that lacks entries which others had seen.", _ASK
        ),
        "log-restored": Kind(
            "The log was put back from a backup; nothing is known to be lost.", _ASK, note=True
        ),
        "run-unstarted": Kind("There are entries of a run whose start is not logged.", _ASK),
        "run-repeated": Kind("A run was started a second time.", _ASK),
        "run-after-end": Kind("A run goes on after its end.", _ASK),
        "run-unended": Kind("A run has no end, although another began after it.", _ASK),
        "run-open": Kind("The log ends while a run goes on.", _WAIT, note=True),
        "run-unprepared": Kind("A run has rounds, or an end, without having been prepared.", _ASK),
        "run-unevaluated": Kind("A run came to a model without an evaluation after its last round.", _ASK),
        "round-skipped": Kind("A number of a round is left out.", _ASK),
        "round-repeated": Kind("A number of a round comes a second time, or goes back.", _ASK),
        "rows-differ": Kind("Numbers of rows that must be equal are not.", _ROWS),
        "agreement-differs": Kind("A run's entries name different agreements.", _ASK),
        "model-differs": Kind("A run's entries name different models as its outcome.", _BOTH),
        # The shared log
        "agreement-unaccepted": Kind("A run began under an agreement whose acceptance is not logged.", _ASK),
        "step-unstated": Kind("A step was completed without the statement of a member that took part.", _ASK),
        "statement-unexpected": Kind("A member stated a round of a run that it takes no part in.", _ASK),
        "statements-differ": Kind("A member stated two different things about one step.", _BOTH),
        "rows-unstated": Kind("A statement does not say how many rows were admitted and used.", _NODE),
        "round-unaggregated": Kind("Members stated a round that a finished run never aggregated.", _ASK),
        "run-empty": Kind("A run came to a model without a round.", _ASK),
        "model-unregistered": Kind("A run finished without a registered model.", _ASK),
        "aligned-differ": Kind("Two sides of a round are not aligned on the same subjects.", _ROWS),
        "aligned-missing": Kind("Only some sides of a round state what they are aligned on.", _ROWS),
        "checkpoint-back": Kind("A member's log became shorter than it was.", _NODE),
        "checkpoint-fork": Kind("A member's log has two different roots at one size.", _NODE),
        # What the witnesses say, if a policy is given
        "cosignature-wrong": Kind(
            "The log keeps a cosignature that its witness' key did not make.",
            "Ask that witness; do not count it.",
        ),
        "quorum-missing": Kind(
            "No checkpoint of the log has the quorum of the policy.",
            "Ask the witnesses for what they have seen; until then only the log's own key speaks for it.",
        ),
        # A member's log
        "log-headless": Kind("A member's log does not begin with the making of its site.", _ASK),
        "agreement-unsigned": Kind(
            "A run began under an agreement whose approval is not in this log.",
            "Find out where the approver signed; the signature itself is in the agreement.",
            note=True,
        ),
        "step-unadmitted": Kind("A step was done without a decision that admitted its rows.", _NODE),
        "step-unused": Kind("Rows were admitted, and what became of them is not logged.", _NODE),
        "budget-unplanned": Kind("Privacy budget was spent without a plan.", _NODE),
        "budget-overspent": Kind("More privacy budget was spent than planned.", _NODE),
        "consent-stale": Kind("Rows were admitted on a state of consent older than a logged change.", _NODE),
        "consent-unlogged": Kind("The consent ledger changed without an entry.", _NODE),
        "round-after-refusal": Kind("The site went on after its witness refused the shared log.", _NODE),
        "scorer-unstarted": Kind("Calls were answered by a scorer whose start is not logged.", _ASK),
        "score-unanswered": Kind("Scores were withheld that, by the log, were not to be given.", _ASK),
        # Both logs together
        "checkpoint-beyond": Kind("A member signed for a longer log than it shows.", _ASK),
        "checkpoint-differs": Kind("A member's log is not the one that it signed for: rewritten.", _ASK),
        "checkpoint-foreign": Kind("A statement in a member's name is not signed by it.", _BOTH),
        "step-unlogged": Kind("A member stated a step that its own log does not have.", _BOTH),
        "step-uncovered": Kind(
            "A member stated a step before it had logged the decision on its rows.", _NODE
        ),
        "round-unshared": Kind("A member trained in an aggregated round that it did not state.", _BOTH),
        "run-unshared": Kind("A member took part in a run that the shared log does not have.", _BOTH),
        "subjects-differ": Kind("A statement names another subject set than the member's log.", _ROWS),
        "resumption-differs": Kind(
            "Both logs say differently from where an interrupted training went on.", _BOTH
        ),
        "ends-differ": Kind("Both logs say differently how a run ended.", _BOTH),
        "clocks-differ": Kind("The clocks of both sides differ by minutes.", _CLOCK, note=True),
    }
)
"""Every kind of finding."""

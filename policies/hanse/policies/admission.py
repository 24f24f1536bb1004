"""Who may be used in a round, and which of their columns: the specification. Pure: no clock, no I/O.

A subject is admitted only if every rule holds; whatever is missing satisfies none. The rules are a plain
sequence, and a subject must pass all of them, so a rule more, or a member more, can only exclude. What is
compiled from the same rules for many subjects (:mod:`hanse.enforcement`) must agree with this, subject by
subject.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from hanse.errors import PolicyError
from hanse.policies.agreement import Agreement
from hanse.policies.check import require_no_gap
from hanse.policies.facts import HIDDEN, Job, Taken, column_facts, hides, job_facts, subject_facts
from hanse.policies.ledger import ConsentSnapshot
from hanse.policies.predicates import Facts
from hanse.policies.rules import COLUMN_RULES, RULES, TRAINING_RULES, Level, RowRules, rules_at


class AskedColumn(NamedTuple):
    """A column that is to be read.

    Attributes:
        name: Its name.
        classification: Class of its content; None for the label, which has none.
        required: Whether a subject is left out if the column is hidden; else only the value is.
        facts: What the rules read of it, apart from whether a subject hides it.
        rules: What it must satisfy.
    """

    name: str
    classification: str | None
    required: bool
    facts: Facts
    rules: RowRules


class Ruling(NamedTuple):
    """The decision about one subject.

    Attributes:
        rule: The first rule that it does not satisfy; None if it is admitted.
        hidden: Columns whose values must not be read; empty if it is not admitted.
    """

    rule: str | None
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Screening:
    """What is the same for all subjects of a decision.

    Attributes:
        job: What is to be done.
        facts: What the rules read of it.
        rules: What a subject must satisfy.
        columns: The columns that are to be read, the label among them.
    """

    job: Job
    facts: Facts
    rules: RowRules
    columns: Sequence[AskedColumn]

    def decide(self, snapshot: ConsentSnapshot, ref: str) -> Ruling:
        """Decides about one subject.

        Args:
            snapshot: What the subjects consented to.
            ref: Pseudonym of the subject.
        """
        facts = {**self.facts, **subject_facts(snapshot, ref, self.job.purpose)}
        rule = first_failure(self.rules, facts)
        if rule is not None:
            return Ruling(rule)
        folding = snapshot.folding(ref, self.job.purpose)
        hidden = set()
        for column in self.columns:
            is_hidden = hides(folding, column.name, column.classification)
            rule = first_failure(column.rules, {**facts, **column.facts, HIDDEN: is_hidden})
            if rule is not None and column.required:
                return Ruling(rule)
            if rule is not None:
                hidden.add(column.name)
        return Ruling(None, frozenset(hidden))


@dataclass(frozen=True)
class Admission:
    """The decision about the records of one round.

    Attributes:
        rows: Positions of the admitted records, increasing.
        subjects: Number of different subjects among them.
        considered: Number of records that were asked about.
        excluded_by_rule: Number of records that each rule excluded; a record counts for the first rule that
            it fails. For the member's own log; what leaves the member goes through :func:`suppress`.
        hidden: By column, positions of the admitted records in which it must not be read, increasing; only
            columns that are hidden somewhere.
        snapshot_head: Head of the consent ledger that the decision rests on.
    """

    rows: tuple[int, ...]
    subjects: int
    considered: int
    excluded_by_rule: Mapping[str, int]
    hidden: Mapping[str, tuple[int, ...]]
    snapshot_head: int

    @cached_property
    def hidden_by_column(self) -> Mapping[str, int]:
        """Number of admitted records in which each column is hidden."""
        return {name: len(rows) for name, rows in self.hidden.items()}


def first_failure(rules: RowRules, facts: Facts) -> str | None:
    """The first rule that does not hold.

    Args:
        rules: The rules, in order.
        facts: What is known.

    Returns:
        The rule's identifier; None if all hold.

    Raises:
        PolicyError: ``policy.denied`` (P01) if there is no rule: nothing to satisfy is nothing permitted.
    """
    if not rules:
        raise PolicyError("policy.denied", "there are no rules, so nothing is permitted", rule="P01")
    return next((rule for rule, predicate in rules if not predicate.holds(facts)), None)


def prepare_training(job: Job, snapshot: Taken) -> Screening:
    """Decides what can be decided before looking at any subject.

    Args:
        job: What is to be done.
        snapshot: The copy of the ledger that will be decided on.

    Returns:
        What is left to decide, for each subject.

    Raises:
        PolicyError: ``policy.denied`` if the agreement has a gap, or the copy of the ledger, or the ledger
            itself, is stale (P10).
    """
    require_no_gap(job.agreement, job.policy, job.now)
    require_fresh(job, snapshot)
    return Screening(
        job=job,
        facts=job_facts(job, snapshot),
        rules=rules_at(Level.SUBJECT, TRAINING_RULES, job.policy),
        columns=_asked_columns(job),
    )


def _asked_columns(job: Job) -> Sequence[AskedColumn]:
    """The agreement's columns and its label. Without a label a record is useless, so it is required."""
    rules = rules_at(Level.COLUMN, COLUMN_RULES, job.policy)
    agreement = job.agreement
    columns = [
        AskedColumn(
            column.name,
            column.classification,
            column.required,
            column_facts(agreement, place, declared=True),
            rules,
        )
        for place, column in enumerate(agreement.columns)
    ]
    label = AskedColumn(agreement.label.name, None, required=True, facts={}, rules=_LABEL_RULES)
    return (*columns, label)


def screen(job: Job, subject_refs: Sequence[str], snapshot: ConsentSnapshot) -> Admission:
    """Decides about every record, and leaves the size of the cohort to :func:`require_cohort`.

    Args:
        job: What is to be done.
        subject_refs: Pseudonym of each record's subject, by position.
        snapshot: A snapshot that was taken for this decision.

    Returns:
        The decision.

    Raises:
        PolicyError: As :func:`prepare_training`.
    """
    screening = prepare_training(job, snapshot)
    rulings = [screening.decide(snapshot, ref) for ref in subject_refs]
    rows = tuple(position for position, ruling in enumerate(rulings) if ruling.rule is None)
    hidden: dict[str, list[int]] = {}
    for position in rows:
        for name in rulings[position].hidden:
            hidden.setdefault(name, []).append(position)
    failures = Counter(ruling.rule for ruling in rulings if ruling.rule is not None)
    return Admission(
        rows=rows,
        subjects=len({subject_refs[position] for position in rows}),
        considered=len(rulings),
        excluded_by_rule=dict(sorted(failures.items())),
        hidden={name: tuple(positions) for name, positions in sorted(hidden.items())},
        snapshot_head=snapshot.head,
    )


def require_cohort(job: Job, subjects: int) -> None:
    """Refuses a cohort that is too small. Subjects count, not records: one subject is no cohort.

    Args:
        job: What is to be done.
        subjects: Number of different subjects who are admitted.

    Raises:
        PolicyError: ``policy.cohort`` (P15).
    """
    minimum = job.agreement.cohort.minimum_rows
    facts = {"cohort.minimum_rows": minimum, "cohort.subjects": subjects, **job.policy.facts()}
    if not RULES["P15"].requires[Level.JOB].holds(facts):
        raise PolicyError(
            "policy.cohort", f"fewer subjects are admitted than the minimum, which is {minimum}", rule="P15"
        )


def admit(job: Job, subject_refs: Sequence[str], snapshot: ConsentSnapshot) -> Admission:
    """Decides who may be used in a round: :func:`screen`, then :func:`require_cohort`.

    Args:
        job: What is to be done.
        subject_refs: Pseudonym of each record's subject, by position.
        snapshot: A snapshot that was taken for this decision.

    Returns:
        The decision.

    Raises:
        PolicyError: ``policy.denied`` if the agreement has a gap or the snapshot is stale, ``policy.cohort``
            if too few subjects are admitted.
    """
    admission = screen(job, subject_refs, snapshot)
    require_cohort(job, admission.subjects)
    return admission


def require_fresh(job: Job, snapshot: Taken) -> None:
    """Refuses a copy of the ledger that is too old, or older than the job, and a ledger that nobody feeds.

    Args:
        job: What is to be done.
        snapshot: The copy of the ledger, by the same clock as the job.

    Raises:
        PolicyError: ``policy.denied`` (P10).
    """
    predicate = RULES["P10"].requires[Level.JOB]
    facts = job_facts(job, snapshot)
    if not predicate.holds(facts):
        unmet = "; ".join(sorted({part.words() for part in predicate.unmet(facts)}))
        raise PolicyError(
            "policy.denied",
            f"the consent ledger, or the copy of it, is stale; these do not hold: {unmet}",
            rule="P10",
        )


def check_columns(agreement: Agreement, asked: Sequence[str]) -> None:
    """Refuses every column that the agreement does not list (P13).

    Args:
        agreement: The agreement.
        asked: Names of the columns that are to be read; the label may be among them.

    Raises:
        PolicyError: ``policy.column`` (P13) with the position of the first such column, or if none is asked
            for.
    """
    allowed = {*(column.name for column in agreement.columns), agreement.label.name}
    if not asked:
        raise PolicyError("policy.column", "no column is asked for", rule="P13")
    for position, name in enumerate(asked):
        if name not in allowed:
            # The name is not repeated: in a file without a header, it is somebody's value.
            raise PolicyError("policy.column", f"column {position + 1} is not in the agreement", rule="P13")


def suppress(counts: Mapping[str, int], below: int) -> dict[str, int | str]:
    """Makes counts fit to leave the member.

    Args:
        counts: Counts of records by whatever.
        below: The agreement's ``cohort.suppress_below``.

    Returns:
        The same counts, with ``"<k"`` in the place of each that is below ``k``, zero included. Send no total
        beside them that would give a single suppressed count away.
    """
    return {name: count if count >= below else f"<{below}" for name, count in counts.items()}


_LABEL_RULES: Final[RowRules] = (("P05", RULES["P05"].requires[Level.COLUMN]),)
"""The label is no column with a class; all that a subject can do about it is to hide it."""

"""The enforcement point: the only door from a member's data to anything that computes on it.

The order is fixed. Subjects are listed (their identifiers only) and turned into pseudonyms; the copy of the
consent ledger is brought up to date; the job is judged, then every subject and every column of each, by a row
filter that is compiled from the rules; a sample is judged a second time by the rules themselves; the decision
becomes durable in the site's log, with the root of the set of admitted subjects, by which each of them can
find out; and only then are columns read, those of the agreement and no other, of the admitted subjects and no
other, without the values that are hidden. If the log cannot be written, nothing is read (P28). What comes out
is :class:`hanse.enforcement.AdmittedRecords`; training accepts no other type.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from hanse.audit import AuditLog, ConsentState, Counts, Event, EventType
from hanse.audit.event import MAX_COUNTED_COLUMNS
from hanse.client.data import DataSource, IdentifierColumn
from hanse.client.subject_sets import Committed, Committer
from hanse.crypto import canonical_json, sha256_hex
from hanse.enforcement import (
    SAMPLE_SUBJECTS,
    AdmittedRecords,
    ConsentColumns,
    Decision,
    Rulings,
    decide,
    release,
    require_agreement,
)
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import (
    Agreement,
    ConsentLedger,
    Job,
    Policy,
    Pseudonymiser,
    Screening,
    check_columns,
    prepare_training,
    require_cohort,
)
from hanse.policies.subject_sets import KeptSet, SubjectSets

HOLDOUT_CONTEXT = b"hanse/holdout\0"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Both parts of what was admitted.

    Attributes:
        training: The records to train on.
        holdout: The held-out ones.
        considered: Records that were judged.
        excluded_by_rule: Records that each rule excluded.
        hidden_by_column: Admitted records in which each column is hidden, zero left out.
        hidden_by_rule: Values that each rule hid.
        event: The decision as it is in the site's log.
        subject_ids: The site's own identifiers of the training records, then of the held-out ones.
    """

    training: AdmittedRecords
    holdout: AdmittedRecords
    considered: int
    excluded_by_rule: Mapping[str, int]
    hidden_by_column: Mapping[str, int]
    hidden_by_rule: Mapping[str, int]
    event: Event
    subject_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Identifiers:
    """By what others know the people who were admitted.

    Attributes:
        columns: By kind.
        place: Where they come from, for messages.
        row: The row of the data set that is at a place of the columns, for messages.
    """

    columns: Mapping[str, IdentifierColumn]
    place: str
    row: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Step:
    """What the records are wanted for.

    Attributes:
        agreement: The agreement.
        policy: The merged rule packs.
        member: Name of this member.
        digest: Of the agreement.
        run: The run.
        round: The round; 0 outside of rounds.
        among: The site's own identifiers of whom alone the step is about; None for everybody.
    """

    agreement: Agreement
    policy: Policy
    member: str
    digest: str
    run: str
    round: int
    among: Collection[str] | None = None

    @property
    def own(self) -> Agreement:
        """The agreement by which this member's rows are judged."""
        return self.agreement.as_held_by(self.member)

    @property
    def labelled(self) -> bool:
        """Whether this member has the label."""
        vertical = self.agreement.vertical
        return vertical is None or vertical.label_holder == self.member


def in_holdout(key: bytes, ref: str, fraction: float) -> bool:
    """Whether a subject is held out at this site: a keyed hash decides, for ever the same way.

    Args:
        key: The site's pseudonym key.
        ref: Pseudonym of the subject.
        fraction: Share that is held out, in [0, 1].
    """
    digest = hmac.digest(key, HOLDOUT_CONTEXT + ref.encode(), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction


class Gate:
    """See the module docstring.

    Args:
        source: The member's data.
        ledger: The consent ledger.
        key: The site's pseudonym key.
        sets: Where the sets of admitted subjects are kept.
        log: The site's audit log.
        clock: The current time, UTC.
        rng: Draws the sample that is judged twice; by default nobody can foresee it.
    """

    def __init__(
        self,
        source: DataSource,
        ledger: ConsentLedger,
        key: bytes,
        sets: SubjectSets,
        log: AuditLog,
        clock: Callable[[], datetime],
        rng: np.random.Generator | None = None,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._columns = ConsentColumns()
        self._swept: str | None = None
        self._key = key
        self._pseudonymiser = Pseudonymiser(key)
        self._sets = sets
        self._committer = Committer(ledger, sets)
        self._log = log
        self._clock = clock
        self._rng = np.random.default_rng() if rng is None else rng

    def split_id(self, fraction: float) -> str:
        """Names the division into training and held-out records: the key and the fraction decide on it."""
        key_id = hmac.digest(self._key, b"hanse/split-id\0", hashlib.sha256).hex()[:16]
        return f"{key_id}:{fraction:g}"

    def open(self, step: Step) -> Admitted:
        """Decides, logs, reads.

        Raises:
            PolicyError: ``policy.denied``, ``policy.column`` or ``policy.cohort``; the refusal is in the log.
            AuditError: ``audit.unavailable``; nothing was read.
            ConfigurationError: The data is not as declared.
        """
        names = [column.name for column in step.own.columns]
        asked = [*names, *((self._source.label_column,) if step.labelled else ())]
        # Before anything is judged: whoever has withdrawn by now must be known to have.
        opening_head = self._ledger.head()
        ids = self._subjects(step)
        refs = [self._pseudonymiser.ref(subject_id) for subject_id in ids]
        try:
            check_columns(step.own, asked)
            self._check_declared(step.own)
            decision = self._decide(step, opening_head, refs)
        except PolicyError as error:
            self._log.append(_denied(step, self._consent(), asked, error))
            raise
        parts = self._split(step, decision, refs)
        committed = self._commit(step, _at(refs, decision.rows))
        event = _admitted(step, self._consent(), decision, asked, committed)
        self._log.append(event)
        training, holdout = self._read(step, names, ids, decision, parts, committed.root)
        return Admitted(
            training,
            holdout,
            decision.considered,
            decision.excluded_by_rule,
            decision.hidden_by_column,
            decision.hidden_by_rule,
            event,
            _at(ids, np.concatenate(parts)),
        )

    def identifiers(self, kinds: Sequence[str], admitted: Admitted) -> Identifiers:
        """Reads by what others know the people who were admitted; the decision about them is in the log.

        Args:
            kinds: Kinds of identifiers, as the agreement names them.
            admitted: What :meth:`open` gave.

        Returns:
            By kind, in the order of :attr:`Admitted.subject_ids`.

        Raises:
            ConfigurationError: The data is not as declared.
        """
        source, subject_ids = self._source, admitted.subject_ids
        return Identifiers(
            source.identifiers(kinds, subject_ids),
            source.manifest.place,
            lambda at: source.row_of(subject_ids[at]),
        )

    def refs(self, subject_ids: Sequence[str]) -> list[str]:
        """The site's pseudonyms of its own identifiers, in their order."""
        return [self._pseudonymiser.ref(subject_id) for subject_id in subject_ids]

    def _subjects(self, step: Step) -> list[str]:
        """Whom the step is about, in the order of the data set."""
        ids = self._source.subject_ids()
        if not ids:
            raise ConfigurationError("config.bad-data", f"{self._source.manifest.place} has no rows")
        if step.among is None:
            return ids
        among = frozenset(step.among)
        return [one for one in ids if one in among]

    def _decide(self, step: Step, opening_head: int, refs: Sequence[str]) -> Decision:
        now = self._clock()
        self._columns.refresh(self._ledger, now)
        job = Job(step.own, step.policy, step.agreement.purpose, now, step.member, opening_head)
        screening = prepare_training(job, self._columns)
        decision, rulings = decide(screening, self._columns, self._columns.places(refs))
        self._judge_again(screening, rulings, refs)
        require_cohort(job, decision.subjects)
        if len(decision.hidden_by_column) > MAX_COUNTED_COLUMNS:
            detail = f"people hide more than {MAX_COUNTED_COLUMNS} columns; no entry can count them"
            raise PolicyError("policy.column", detail, rule="P28")
        return decision

    def _judge_again(self, screening: Screening, rulings: Rulings, refs: Sequence[str]) -> None:
        """Holds a random sample of the compiled decision against the rules and the ledger itself.

        Raises:
            PolicyError: ``policy.denied`` (P32) if they differ about anybody.
        """
        drawn = self._rng.choice(len(refs), size=min(SAMPLE_SUBJECTS, len(refs)), replace=False)
        sample = _at(refs, drawn)
        snapshot = self._ledger.snapshot(screening.job.now, sample)
        if snapshot.head != self._columns.head:
            # Who has changed their mind since is judged in the next round, by both.
            since = {row.subject_ref for row in self._ledger.standing_rows(since=self._columns.head).rows}
            sample = [ref for ref in sample if ref not in since]
        places: list[int] = self._columns.places(sample).tolist()
        require_agreement(screening, rulings, dict(zip(sample, places, strict=True)), snapshot)

    def _consent(self) -> ConsentState | None:
        """The state of the ledger that was judged on; None if none was ever read."""
        columns = self._columns
        return ConsentState(head=columns.head, size=len(columns), root=columns.root) if columns.root else None

    def _check_declared(self, agreement: Agreement) -> None:
        """Refuses an agreement about columns that this site declares otherwise, or not at all."""
        declared = {(own.name, own.kind, own.classification) for own in self._source.manifest.columns}
        for position, column in enumerate(agreement.columns):
            if (column.name, column.kind, column.classification) not in declared:
                raise PolicyError(
                    "policy.column",
                    f"columns.{position} of the agreement is not declared here with its kind and class",
                    rule="P13",
                )

    def _split(self, step: Step, decision: Decision, refs: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """Training and held-out rows.

        A keyed hash of the subject decides, for ever the same way, so that the two populations stay disjoint
        over rounds, runs and changes of the data (their privacy budgets are kept apart because of that).
        """
        fraction = step.agreement.training.holdout_fraction
        held_out = np.array(
            [in_holdout(self._key, ref, fraction) for ref in _at(refs, decision.rows)], dtype=np.bool_
        )
        return [decision.rows[~held_out], decision.rows[held_out]]

    def _commit(self, step: Step, refs: Sequence[str]) -> Committed:
        """Commits to the subjects, so that each can be shown whether it is among them; deletes old sets."""
        now = self._clock()
        if step.run != self._swept:
            self._sweep(now)
            self._swept = step.run
        return self._committer.commit(step.agreement, step.digest, step.run, refs, now)

    def _sweep(self, now: datetime) -> None:
        """Deletes the sets whose time is over, once per run; that they are deleted is in the log first."""
        for kept in self._sets.expired(now):
            self._log.append(_deleted(kept))
            self._sets.delete(kept)

    def _read(
        self,
        step: Step,
        names: Sequence[str],
        ids: Sequence[str],
        decision: Decision,
        parts: Sequence[npt.NDArray[np.int64]],
        root: bytes,
    ) -> list[AdmittedRecords]:
        """One query for all admitted rows, then one set of records per part."""
        order = np.concatenate(parts)
        hidden = {name: np.isin(order, rows) for name, rows in decision.hidden.items()}
        if step.labelled:
            columns, labels = self._source.read(names, _at(ids, order), hidden)
        else:
            columns = self._source.read_unlabelled(names, _at(ids, order), hidden)
            labels = np.full(len(order), "none", dtype=np.str_)  # somebody else has them
        # What trains must be what was admitted and committed to, row for row.
        if any(len(values) != len(order) for values in (labels, *columns.values())):
            raise PolicyError("policy.denied", "the rows read are not the rows admitted", rule="P32")
        if unlabelled := int((labels == "").sum()):
            raise ConfigurationError(
                "config.bad-data", f"{unlabelled} admitted rows have no label; leave them out of the data set"
            )
        positive = (labels == step.agreement.label.positive).astype(np.float32)
        ends = np.cumsum([0, *(len(part) for part in parts)])
        return [
            release(
                decision,
                part,
                {name: values[start:end] for name, values in columns.items()},
                positive[start:end],
                root,
            )
            for part, start, end in zip(parts, ends, ends[1:], strict=False)
        ]


def _at(texts: Sequence[str], places: npt.NDArray[np.int64]) -> list[str]:
    """The texts at some places."""
    numbers: list[int] = places.tolist()
    return [texts[number] for number in numbers]


def _admitted(
    step: Step, consent: ConsentState | None, decision: Decision, names: Sequence[str], committed: Committed
) -> Event:
    places = {column.name: str(place) for place, column in enumerate(step.agreement.columns)}
    return _event(
        step,
        EventType.ROUND_ADMITTED,
        names,
        consent=consent,
        counts=Counts(
            rows_in=decision.considered,
            rows_out=len(decision.rows),
            by_rule=decision.excluded_by_rule,
            hidden={places[name]: count for name, count in decision.hidden_by_column.items()},
            hidden_by_rule=decision.hidden_by_rule,
        ),
        subject_set_root=committed.root.hex(),
        subject_set_size=committed.size,
        subject_epoch=committed.epoch.number,
        decision="permit",
    )


def _deleted(kept: KeptSet) -> Event:
    head = kept.head
    return Event.model_validate(
        {
            "type": EventType.SUBJECTS_DELETED,
            "agreement": head.agreement,
            "run": head.run,
            "subject_set_root": kept.root,
            "subject_set_size": head.size,
            "subject_epoch": head.epoch,
        }
    )


def _denied(step: Step, consent: ConsentState | None, names: Sequence[str], error: PolicyError) -> Event:
    return _event(
        step,
        EventType.ROUND_DENIED,
        names,
        consent=consent,
        decision="deny",
        reasons=(error.code, *((error.rule,) if error.rule else ())),
    )


def _event(step: Step, kind: EventType, names: Sequence[str], **fields: object) -> Event:
    return Event.model_validate(
        {
            "type": kind,
            "agreement": step.digest,
            "run": step.run,
            "round": step.round or None,
            "purpose": step.agreement.purpose,
            "policy_digest": step.policy.digest,
            "columns_digest": sha256_hex(canonical_json(sorted(names))),
            "app_digest": step.agreement.software.digest,
            **fields,
        }
    )

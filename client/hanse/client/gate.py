"""The enforcement point: the only door from a member's data to anything that computes on it.

The order is fixed. Subjects are listed (their identifiers only), turned into pseudonyms, and judged by
the consent rules; the decision becomes durable in the site's log; and only then are columns read, those
of the agreement and no other, of the admitted subjects and no other. If the log cannot be written,
nothing is read (P28). What comes out is :class:`AdmittedRecords`; training code accepts no other type.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from hanse.audit import AuditLog, ConsentState, Counts, Event, EventType, root_hash
from hanse.client.data import Columns, DataSource
from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import ConfigurationError, PolicyError
from hanse.policies import (
    Admission,
    Agreement,
    ConsentLedger,
    Policy,
    Pseudonymiser,
    admit,
    check_columns,
    subject_tag,
)

HOLDOUT_CONTEXT = b"hanse/holdout\0"


@dataclass(frozen=True, slots=True)
class AdmittedRecords:
    """Records that the gate has let through for one step of one run.

    Attributes:
        columns: Declared values per column, each of shape ``(rows,)``.
        labels: 1.0 for the agreement's positive label, else 0.0, shape ``(rows,)``.
        subject_set_root: Merkle root over keyed tags of the subjects; it reveals nobody.
    """

    columns: Columns
    labels: npt.NDArray[np.float32]
    subject_set_root: bytes

    @property
    def rows(self) -> int:
        """Number of records."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Both parts of what was admitted: the records to train on, and the held-out ones."""

    training: AdmittedRecords
    holdout: AdmittedRecords
    considered: int
    excluded_by_rule: dict[str, int]


@dataclass(frozen=True, slots=True)
class Step:
    """What the records are wanted for."""

    agreement: Agreement
    policy: Policy
    member: str
    digest: str
    run: str
    round: int


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
        log: The site's audit log.
        clock: The current time, UTC.
    """

    def __init__(
        self,
        source: DataSource,
        ledger: ConsentLedger,
        key: bytes,
        log: AuditLog,
        clock: Callable[[], datetime],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._key = key
        self._pseudonymiser = Pseudonymiser(key)
        self._log = log
        self._clock = clock

    def split_id(self, fraction: float) -> str:
        """Names the division into training and held-out records: the key and the fraction decide on it."""
        key_id = hmac.digest(self._key, b"hanse/split-id\0", hashlib.sha256).hex()[:16]
        return f"{key_id}:{fraction:g}"

    def open(self, step: Step) -> Admitted:
        """Decides, logs, reads.

        Raises:
            PolicyError: ``policy.column`` or ``policy.cohort``; the refusal is in the log.
            AuditError: ``audit.unavailable``; nothing was read.
            ConfigurationError: The data is not as declared.
        """
        names = [column.name for column in step.agreement.columns]
        asked = [*names, self._source.manifest.label_column]
        ids = self._source.subject_ids()
        refs = [self._pseudonymiser.ref(subject_id) for subject_id in ids]
        now = self._clock()
        snapshot = self._ledger.snapshot(now)
        consent = ConsentState(head=snapshot.head, size=snapshot.size, root=snapshot.root)
        try:
            check_columns(step.agreement, asked)
            self._check_declared(step.agreement)
            admission = admit(step.agreement, refs, snapshot, now)
        except PolicyError as error:
            self._log.append(_denied(step, consent, asked, error))
            raise
        parts = self._split(step, admission, refs)
        roots = [self._root(step, [refs[row] for row in part]) for part in parts]
        whole = self._root(step, [refs[row] for row in admission.rows])
        self._log.append(_admitted(step, consent, admission, asked, whole))
        training, holdout = self._read(step, names, ids, parts, roots)
        return Admitted(training, holdout, admission.considered, dict(admission.excluded_by_rule))

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

    def _split(self, step: Step, admission: Admission, refs: Sequence[str]) -> tuple[list[int], list[int]]:
        """Training and held-out rows.

        A keyed hash of the subject decides, for ever the same way, so that the two populations stay disjoint
        over rounds, runs and changes of the data (their privacy budgets are kept apart because of that).
        """
        fraction = step.agreement.training.holdout_fraction
        parts: tuple[list[int], list[int]] = ([], [])
        for row in admission.rows:
            parts[in_holdout(self._key, refs[row], fraction)].append(row)
        return parts

    def _root(self, step: Step, refs: Sequence[str]) -> bytes:
        tags = sorted(subject_tag(self._key, step.digest, step.run, str(step.round), ref) for ref in refs)
        return root_hash(tags)

    def _read(
        self,
        step: Step,
        names: Sequence[str],
        ids: Sequence[str],
        parts: Sequence[list[int]],
        roots: Sequence[bytes],
    ) -> list[AdmittedRecords]:
        """One query for all admitted rows, then one set of records per part."""
        columns, labels = self._source.read(names, [ids[row] for part in parts for row in part])
        # What trains must be what was admitted and committed to, row for row.
        if len(labels) != sum(map(len, parts)):
            raise PolicyError("policy.denied", "the rows read are not the rows admitted", rule="P32")
        if unlabelled := int((labels == "").sum()):
            raise ConfigurationError(
                "config.bad-data", f"{unlabelled} admitted rows have no label; leave them out of the data set"
            )
        positive = (labels == step.agreement.label.positive).astype(np.float32)
        ends = np.cumsum([0, *(len(part) for part in parts)])
        return [
            AdmittedRecords(
                {name: values[start:end] for name, values in columns.items()}, positive[start:end], root
            )
            for start, end, root in zip(ends, ends[1:], roots, strict=False)
        ]


def _admitted(
    step: Step, consent: ConsentState, admission: Admission, names: Sequence[str], root: bytes
) -> Event:
    return _event(
        step,
        EventType.ROUND_ADMITTED,
        names,
        consent=consent,
        counts=Counts(
            rows_in=admission.considered,
            rows_out=len(admission.rows),
            by_rule=dict(admission.excluded_by_rule),
        ),
        subject_set_root=root.hex(),
        decision="permit",
    )


def _denied(step: Step, consent: ConsentState, names: Sequence[str], error: PolicyError) -> Event:
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
            "columns_digest": sha256_hex(canonical_json(sorted(names))),
            "app_digest": step.agreement.software.digest,
            **fields,
        }
    )

"""What is logged: counts, digests and codes. No field can carry free text, an identifier or a row value.

An :class:`Event` is what the caller states; :class:`hanse.audit.Entry` adds who wrote it, when and as which
one. Every string is matched against a pattern without room for a sentence or an e-mail address. That proves
little about a caller who means to leak: callers pass codes and digests, nothing that they read from data.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from hanse.audit.checkpoint import parse_checkpoint
from hanse.crypto import VerifierKey, unverified_text
from hanse.errors import HanseError, ProtocolError

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, 64 lower-case hex digits."""

RuleId = Annotated[str, StringConstraints(pattern=r"^P[0-9]{2}$")]
"""A rule of the policy layer."""

Reason = Annotated[
    str,
    StringConstraints(pattern=r"^(P[0-9]{2}|[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+)$", max_length=64),
]
"""A rule of the policy layer, or an error code."""

Token = Annotated[str, StringConstraints(pattern=r"^[a-z]+([._-][a-z]+)*$", max_length=64)]
"""An error code or another word of the program's own vocabulary; no digits."""

PurposeId = Annotated[
    str, StringConstraints(pattern=r"^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)*$", max_length=64)
]
"""A purpose of the purpose tree."""

RunId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
"""The identifier of a run, chosen by the program."""

PeerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,63}$")]
"""The name by which an agreement knows a member, coordinator or calling system."""

ColumnPlace = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,3})$")]
"""A column, by its place in the agreement; its name is text of the members'."""

Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
"""An Ed25519 signature, base64."""

MAX_COUNTED_RULES: Final = 100
MAX_COUNTED_COLUMNS: Final = 1_500
"""Keys of the counts in an event. With figures of ten digits they leave room for the rest of a statement,
which has at most half the bytes of an entry."""

Count = Annotated[int, Field(ge=0)] | Annotated[str, StringConstraints(pattern=r"^<[1-9][0-9]*$")]
"""A number of rows, or ``<k`` where it is too small to be shown."""


Note = Annotated[str, StringConstraints(max_length=8192)]
"""A signed note of another party. Anybody can add lines to one, and an entry must stay small."""


class Document(BaseModel):
    """A frozen value that takes no unknown field and never quotes what it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class EventType(StrEnum):
    """What happened."""

    MEMBER_INITIALISED = "member.initialised"
    POLICY_ADOPTED = "policy.adopted"
    AGREEMENT_SIGNED = "agreement.signed"
    AGREEMENT_REFUSED = "agreement.refused"
    AGREEMENT_ACCEPTED = "agreement.accepted"
    AGREEMENT_TERMINATED = "agreement.terminated"
    AGREEMENT_ATTESTED = "agreement.attested"
    BUNDLE_REFUSED = "bundle.refused"
    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    RUN_PREPARED = "run.prepared"
    RUN_REFUSED = "run.refused"
    RUN_FINISHED = "run.finished"
    RUN_FAILED = "run.failed"
    ROUND_ADMITTED = "round.admitted"
    ROUND_DENIED = "round.denied"
    ROUND_TRAINED = "round.trained"
    ROUND_AGGREGATED = "round.aggregated"
    UPDATE_SCREENED = "update.screened"
    ALIGNMENT_ENTERED = "alignment.entered"
    ALIGNMENT_FINISHED = "alignment.finished"
    PEER_HEARD = "peer.heard"
    PART_KEPT = "part.kept"
    RUN_EVALUATED = "run.evaluated"
    BUDGET_PLANNED = "budget.planned"
    BUDGET_SPENT = "budget.spent"
    MEMBER_LEFT = "member.left"
    MEMBER_RETURNED = "member.returned"
    MEMBER_JOINED = "member.joined"
    ROUND_SUBMITTED = "round.submitted"
    MODEL_REGISTERED = "model.registered"
    MODEL_WITHHELD = "model.withheld"
    MODEL_PROPOSED = "model.proposed"
    MODEL_REJECTED = "model.rejected"
    MODEL_PROMOTED = "model.promoted"
    MODEL_CANARY = "model.canary"
    MODEL_ROLLED_BACK = "model.rolled-back"
    MODEL_RETIRED = "model.retired"
    MODEL_LOADED = "model.loaded"
    MODEL_UNLOADED = "model.unloaded"
    MODEL_REFUSED = "model.refused"
    CONSENT_RECORDED = "consent.recorded"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    CONSENT_FOLDED = "consent.folded"
    CONSENT_EXPIRED = "consent.expired"
    CONSENT_SYNCED = "consent.synced"
    CONSENT_RECEIPT = "consent.receipt"
    CONSENT_FORGOTTEN = "consent.forgotten"
    SUBJECTS_DELETED = "subjects.deleted"
    SCORER_STARTED = "scorer.started"
    SCORER_STOPPED = "scorer.stopped"
    SCORE_ANSWERED = "score.answered"
    SCORE_DENIED = "score.denied"
    SCORE_WITHHELD = "score.withheld"
    PART_ANSWERED = "part.answered"
    PART_DENIED = "part.denied"
    PART_HEARD = "part.heard"
    PART_REUSED = "part.reused"
    PART_MISSED = "part.missed"
    MESSAGE_REFUSED = "message.refused"
    LOG_KEY_ROTATED = "log.key-rotated"
    LOG_RESTORED = "log.restored"
    AUDIT_EXPORTED = "audit.exported"
    WITNESS_REFUSED = "witness.refused"
    WITNESS_REVIEWED = "witness.reviewed"


class ConsentState(Document):
    """The consent ledger that a decision was taken on.

    Attributes:
        head: Sequence number of the last consent event that counted.
        size: Number of records with a current state.
        root: Digest of those records, where one was computed.
    """

    head: int = Field(ge=0)
    size: int = Field(ge=0)
    root: Digest | None = None


class Counts(Document):
    """How many rows went into a step and came out of it.

    Attributes:
        rows_in: Rows considered.
        rows_out: Rows admitted.
        by_rule: Rows excluded, by the first rule that each failed; at most 100 rules.
        hidden: Admitted rows in which a column was hidden, by the column's place in the agreement, from 0; at
            most 1,500 columns.
        hidden_by_rule: Values that were hidden, by the first rule that each failed.
    """

    rows_in: Count
    rows_out: Count
    by_rule: Mapping[RuleId, Count] = Field(default_factory=dict, max_length=MAX_COUNTED_RULES)
    hidden: Mapping[ColumnPlace, Count] = Field(default_factory=dict, max_length=MAX_COUNTED_COLUMNS)
    hidden_by_rule: Mapping[RuleId, Count] = Field(default_factory=dict, max_length=MAX_COUNTED_RULES)


class PrivacySpend(Document):
    """A price that was planned or paid.

    Attributes:
        epsilon: Composed over everything charged to the population and purpose so far, this one included.
        delta: At which epsilon holds.
        events: The mechanisms charged by this entry: flat parameters, names and numbers only.
    """

    epsilon: float = Field(ge=0)
    delta: float = Field(ge=0, lt=1)
    events: tuple[
        Mapping[str, int | float | Annotated[str, StringConstraints(pattern=r"^[A-Za-z_-]{1,64}$")]], ...
    ] = ()


class Restored(Document):
    """A log that was put back from a backup, and what had been seen of it elsewhere.

    Attributes:
        size: Number of entries in the backup.
        root: Root of their tree.
        known_size: Number of entries under the newest checkpoint that was found elsewhere, where one was
            found. What lies between the two sizes was lost.
        known_root: Root under that checkpoint.
    """

    size: int = Field(ge=0)
    root: Digest
    known_size: int | None = Field(default=None, ge=0)
    known_root: Digest | None = None


class Event(Document):
    """What the caller states. All digests are SHA-256; what does not apply is left out.

    Attributes:
        type: What happened.
        decision: What was decided, if this is a decision.
        reasons: Rules and error codes that led to it.
        agreement: Digest of the agreement.
        run: The run.
        round: The round of the run, from 1.
        purpose: Purpose asked for.
        peer: The other side: a member, the coordinator or a calling system, by its name in the agreement.
        policy_digest: The rules in force.
        consent: The consent ledger that counted.
        counts: Rows in, out and excluded.
        subject_set_root: Root of the tree of subject tags of the admitted rows.
        subject_set_size: Number of tags in that tree.
        subject_epoch: Epoch of the tags, the last of what they are derived from: the round, 0 outside rounds.
        aligned_set_root: Root of the subjects that two sides aligned on; the same on both sides of a round.
        input_set: Commitment to the identifiers that a member enters into an alignment with; keyed, so that
            nobody can try whose they are.
        conversation: What was said with the peer in one phase, or in one question about people who are
            scored, both directions; the same on both sides.
        rows_used: Rows that a step computed on; what is admitted and what is used must be the same (P32).
        columns_digest: The columns that were read.
        app_digest: The software that ran.
        request: The scoring request, keyed by the site so that nobody can confirm a guess of what was in it;
            of several, the root of the tree over them (:mod:`hanse.audit.requests`).
        requests: How many scoring requests the entry is about, where there are several; counts are their
            sums.
        model_in: Weights before the step; of a vertical training that was interrupted, digest of the point
            that it went on from.
        model_out: Weights after it.
        privacy: Privacy loss planned or spent.
        member_checkpoint: Signed checkpoint of a member's own log, a note.
        statement_signature: The member's signature over the event without this field; see
            :mod:`hanse.audit.statement`.
        new_key: The verifier key that signs the log from the next entry on.
        restored: The backup that the log was put back from.
        serving: A decision about which version of a model is served, the signed note.
        package: An evidence package that was made from the log, the file.
        detail: An error code or known word.
    """

    type: EventType
    decision: Literal["permit", "deny"] | None = None
    reasons: tuple[Reason, ...] = ()
    agreement: Digest | None = None
    run: RunId | None = None
    round: int | None = Field(default=None, ge=1)
    purpose: PurposeId | None = None
    peer: PeerName | None = None
    policy_digest: Digest | None = None
    consent: ConsentState | None = None
    counts: Counts | None = None
    subject_set_root: Digest | None = None
    subject_set_size: int | None = Field(default=None, ge=0)
    subject_epoch: int | None = Field(default=None, ge=0)
    aligned_set_root: Digest | None = None
    input_set: Digest | None = None
    conversation: Digest | None = None
    rows_used: int | None = Field(default=None, ge=0)
    columns_digest: Digest | None = None
    app_digest: Digest | None = None
    request: Digest | None = None
    requests: int | None = Field(default=None, ge=2)
    model_in: Digest | None = None
    model_out: Digest | None = None
    privacy: PrivacySpend | None = None
    member_checkpoint: Note | None = None
    statement_signature: Signature | None = None
    new_key: str | None = None
    restored: Restored | None = None
    serving: Digest | None = None
    package: Digest | None = None
    detail: Token | None = None

    @field_validator("new_key")
    @classmethod
    def _is_key(cls, key: str | None) -> str | None:
        if key is not None:
            try:
                VerifierKey.decode(key)
            except HanseError as error:
                raise ValueError("not a verifier key") from error
        return key

    @field_validator("member_checkpoint")
    @classmethod
    def _is_checkpoint(cls, note: str | None) -> str | None:
        """Only the form: whose signature counts is the verifier's decision."""
        if note is not None:
            try:
                parse_checkpoint(unverified_text(note.encode()))
            except (ProtocolError, UnicodeEncodeError) as error:
                raise ValueError("not a signed checkpoint") from error
        return note

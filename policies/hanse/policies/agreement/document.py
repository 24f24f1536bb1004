"""The agreement: who uses which columns for what purpose, how, and until when.

Types and sanity live here: a document that does not parse is nobody's agreement. Whether a valid one may
*run* is decided by :mod:`hanse.policies.check`, which names rules and articles. Nothing that matters has a
default that permits: leaving it out is an error or a refusal, for a reader cannot see what is not there.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hanse.audit.policy_file import quorum_of
from hanse.crypto import VerifierKey
from hanse.crypto.cosigning import CosignerVerifier
from hanse.errors import ProtocolError
from hanse.policies.agreement.columns import EVERY_MEMBER, Column, Label
from hanse.policies.agreement.parties import (
    Auditor,
    Coordinator,
    Evidence,
    Member,
    Override,
    PackReference,
    Software,
)
from hanse.policies.agreement.terms import (
    Aggregation,
    Assessment,
    Border,
    Cohort,
    ConsentTerms,
    Privacy,
    Retention,
    Robustness,
    Scoring,
)
from hanse.policies.agreement.training import VERTICAL_ONLY, Training
from hanse.policies.agreement.vertical import Vertical
from hanse.policies.agreement.vertical_checks import check_vertical
from hanse.policies.fields import (
    Count,
    Many,
    Name,
    PurposeKey,
    Sha256Hex,
    Text,
    UtcTime,
    require_unique,
)
from hanse.policies.texts import WrittenDocument

HEADER: Final = "hanse agreement v1\n"

FEWEST_IN_SUM: Final = 3
"""Members below which a sum hides nobody."""

_MOST_BINS: Final = 1000
"""Of a column that trees split."""

SECURE: Final = Aggregation()


class Agreement(WrittenDocument):
    """One agreement, in version 1 of its form.

    Attributes:
        schema_version: Version of the form.
        id: Short name; models are named after it.
        version: Version of this agreement, from 1.
        title: What it is for, in one line.
        purpose: Purpose of the training.
        legal_basis: ``consent``; see ``overrides`` for what else a member's records may rest on.
        overrides: Other legal bases, by member and with a reason.
        packs: The rule packs that apply; the most restrictive of them wins.
        supersedes: Digest of the version before; null for version 1 and for no other.
        proposer: The person who proposes it.
        auditor: The person who audits it.
        members: Who takes part, at least two.
        coordinator: Who runs the rounds.
        evidence: Who witnesses the coordinator's log, and how many of them have to.
        may_contain_minors: Whether children may be among the subjects; then whose age is unknown is left out.
        columns: The columns that may be used; no other is read.
        label: What is predicted.
        training: How.
        privacy: Budget per record; null, which must be written, for training without differential privacy.
        aggregation: How the members' figures come together. Left out of the text while it is the default, so
            that older agreements keep their digests.
        cohort: How many there must be.
        scoring: What scores may be used for.
        assessment: The impact assessment.
        border: What allows processing in several jurisdictions.
        retention: For how long things are kept.
        consent: How fast a changed consent takes effect.
        valid_from: First moment at which it is in force.
        valid_until: First moment at which it no longer is.
        software: What every node runs.
        robustness: How updates that would spoil the model are kept out of it, where each one is seen. Left
            out of the text while it is the default, so that older agreements keep their digests.
        contributions: Whether what each member adds to a model is computed from the updates, where each one
            is seen, and told to all members in the model's manifest. Left out of the text while it is not.
        vertical: Which member has which columns of the same people, and how those are found; null, and left
            out of the text, where all members have the same columns of different people.
    """

    header = HEADER
    called = "an agreement"

    schema_version: Literal[1]
    id: Name
    version: Count
    title: Text
    purpose: PurposeKey
    legal_basis: Literal["consent"]
    overrides: Annotated[Many[Override], Field(max_length=100)]
    packs: Annotated[Many[PackReference], Field(min_length=1, max_length=20)]
    supersedes: Sha256Hex | None
    proposer: Text
    auditor: Text
    members: Annotated[Many[Member], Field(min_length=2, max_length=100)]
    coordinator: Coordinator
    evidence: Evidence
    may_contain_minors: bool
    columns: Annotated[Many[Column], Field(min_length=1, max_length=5000)]
    label: Label
    training: Training
    privacy: Privacy | None
    aggregation: Aggregation = Field(default=SECURE, exclude_if=lambda given: given == SECURE)
    cohort: Cohort
    scoring: Scoring
    assessment: Assessment
    border: Border
    retention: Retention
    consent: ConsentTerms
    valid_from: UtcTime
    valid_until: UtcTime
    software: Software
    robustness: Robustness = Field(default=Robustness(), exclude_if=lambda given: given == Robustness())
    contributions: bool = Field(default=False, exclude_if=lambda given: not given)
    vertical: Vertical | None = Field(default=None, exclude_if=lambda given: given is None)

    @field_validator("members")
    @classmethod
    def _members_differ(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
        require_unique("names of members", (member.name for member in members))
        require_unique("organisations of members", (member.organisation for member in members))
        if EVERY_MEMBER in {member.name for member in members}:
            raise PydanticCustomError("members", "no member can be called 'members'")
        return members

    @field_validator("packs")
    @classmethod
    def _packs_differ(cls, packs: tuple[PackReference, ...]) -> tuple[PackReference, ...]:
        require_unique("the packs", (pack.id for pack in packs))
        return packs

    @field_validator("columns")
    @classmethod
    def _columns_differ(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        # SQL compares names without case: "Age" beside "age" would read one column twice.
        require_unique("names of columns, also without case,", (column.name.casefold() for column in columns))
        return columns

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.label.name.casefold() in {column.name.casefold() for column in self.columns}:
            raise PydanticCustomError("label", "remove the label from the columns: it would predict itself")
        if self.training.scale and any(column.transform == "standardised" for column in self.columns):
            raise PydanticCustomError(
                "scale", "cut the columns of a scorecard into cells: points are per cell"
            )
        targets = {target.name.casefold() for target in self.training.targets}
        if targets & {self.label.name.casefold(), *(column.name.casefold() for column in self.columns)}:
            raise PydanticCustomError(
                "targets", "remove the targets from the columns, and the label from them"
            )
        if self.coordinator.name in {member.name for member in self.members}:
            raise PydanticCustomError("coordinator", "give the coordinator a name that no member has")
        keys = [key for member in self.members for key in (member.node_key, member.approver_key)]
        # By value: a key keeps its holder's powers under every name.
        require_unique(
            "the keys of members and coordinator",
            (VerifierKey.decode(key).public_bytes for key in (*keys, self.coordinator.key)),
        )
        if self.valid_from >= self.valid_until:
            raise PydanticCustomError("validity", "let valid_until be later than valid_from")
        if self.assessment.approved_at >= self.assessment.expires_at:
            raise PydanticCustomError("validity", "let assessment.expires_at be later than approved_at")
        if (self.version > 1) != (self.supersedes is not None):
            raise PydanticCustomError("supersedes", "give supersedes to an amendment, null to version 1")
        return self

    @model_validator(mode="after")
    def _updates_are_seen(self) -> Self:
        if self.robustness != Robustness() and self.secure_sums:
            raise PydanticCustomError(
                "robustness", "leave it out, or let aggregation be individual: sums hide updates"
            )
        if self.contributions and self.secure_sums:
            raise PydanticCustomError(
                "contributions", "leave them out, or let aggregation be individual: sums hide who added what"
            )
        if len(self.members) < self.robustness.fewest:
            raise PydanticCustomError("robustness", "let fewer be faulty: the rule needs more members")
        return self

    @model_validator(mode="after")
    def _segments_have_a_value(self) -> Self:
        segments = self.scoring.segments
        if segments is None:
            return self
        amounts = {target.name for target in self.training.targets if target.kind == "amount"}
        own = self if self.vertical is None else self.as_held_by(self.vertical.label_holder)
        numbers = {column.name for column in own.columns if column.kind == "numeric"}
        if segments.value not in amounts | numbers:
            raise PydanticCustomError(
                "segments",
                "let scoring.segments.value be an amount of the training, or a numeric column "
                "of whoever scores",
            )
        return self

    @model_validator(mode="after")
    def _trees_can_grow(self) -> Self:
        trees = self.training.trees
        if trees is None:
            return self
        if not self.secure_sums and self.vertical is None:
            raise PydanticCustomError(
                "trees", "grow trees in sums over at least three members: a sum over two hides neither"
            )
        if self.privacy is not None:
            raise PydanticCustomError(
                "trees",
                "grow trees without a privacy budget, or choose another model: trees are exact",
            )
        if trees.min_rows < self.cohort.suppress_below:
            raise PydanticCustomError(
                "trees", "let training.trees.min_rows be at least cohort.suppress_below"
            )
        if any(column.transform not in ("one_hot", "quantiles") for column in self.columns):
            raise PydanticCustomError("trees", "cut the columns of trees into cells: they split between them")
        if any((column.bins or 0) > _MOST_BINS for column in self.columns):
            raise PydanticCustomError("trees", "give a column of trees at most 1000 bins")
        return self

    @model_validator(mode="after")
    def _holders_fit(self) -> Self:
        if self.vertical is not None:
            if self.aggregation != SECURE:
                raise PydanticCustomError("aggregation", "leave aggregation out of a vertical agreement")
            check_vertical(self, self.vertical)
        elif self.training.model in VERTICAL_ONLY:
            raise PydanticCustomError(
                "model", "give this model to members with different columns of the same people (vertical)"
            )
        return self

    @model_validator(mode="after")
    def _witnesses_differ(self) -> Self:
        parties: tuple[Member | Coordinator | Auditor, ...] = (
            *self.members,
            self.coordinator,
            *self.evidence.auditors,
        )
        names = (party.name for party in parties)
        require_unique("the names of members, coordinator and auditors", names)
        try:
            quorum_of(VerifierKey.decode(self.coordinator.key), self.witnesses, 1)
        except ProtocolError as error:
            raise PydanticCustomError(
                "witnesses", "give every witness a key and a key name of its own"
            ) from error
        return self

    @model_validator(mode="after")
    def _members_exist(self) -> Self:
        names = {member.name for member in self.members}
        partners = {item.to for column in self.columns for item in column.disclosure} - {EVERY_MEMBER}
        if not partners | {item.member for item in self.overrides} <= names:
            raise PydanticCustomError("members", "name only members of the agreement")
        require_unique("the overrides", ((item.member, item.basis) for item in self.overrides))
        return self

    @property
    def organisations(self) -> frozenset[str]:
        """Legal names of all members, as a consent must name them."""
        return frozenset(member.organisation for member in self.members)

    @property
    def jurisdictions(self) -> frozenset[str]:
        """Where anything of it is processed or kept: members, their storage, coordinator and other places."""
        members = (place for m in self.members for place in (m.jurisdiction, m.storage_country))
        return frozenset((*members, self.coordinator.jurisdiction, *self.border.other_places))

    @property
    def classifications(self) -> frozenset[str]:
        """Classes of all columns, as a consent must name them."""
        return frozenset(column.classification for column in self.columns)

    @property
    def witnesses(self) -> tuple[CosignerVerifier, ...]:
        """Keys of everybody whose cosignature counts: the members', then the auditors'."""
        parties: tuple[Member | Auditor, ...] = (*self.members, *self.evidence.auditors)
        return tuple(CosignerVerifier.decode(party.witness_key) for party in parties)

    @property
    def secure_sums(self) -> bool:
        """Whether the coordinator learns sums over the members and nothing of one of them.

        Of two members, a sum tells each what the other has, so they keep updates of their own, whatever the
        mode. Members with different columns of the same people add nothing up.
        """
        three = len(self.members) >= FEWEST_IN_SUM
        return three and self.aggregation.mode == "secure" and self.vertical is None

    def as_held_by(self, member: str) -> "Agreement":
        """The agreement by which a member's own rows are judged: of a vertical one, with its columns alone.

        Args:
            member: Name of a member.
        """
        if self.vertical is None:
            return self
        own = set(self.vertical.columns_of(member))
        return self.model_copy(update={"columns": tuple(c for c in self.columns if c.name in own)})

    def member(self, name: str) -> Member | None:
        """The member of a name; None if there is none."""
        return next((member for member in self.members if member.name == name), None)

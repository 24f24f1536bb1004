"""The agreement: who uses which columns for what purpose, how, and until when.

Types and sanity live here: a document that does not parse is nobody's agreement. Whether a valid one may
*run* is decided by :mod:`hanse.policies.check`, which names rules and articles. Nothing that matters has a
default: leaving it out is an error, because a reader cannot see what is not written.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hanse.crypto import VerifierKey, canonical_json, parse_canonical_json, sha256_hex
from hanse.errors import PolicyError, ProtocolError
from hanse.policies.documents import to_yaml, yaml_to_json
from hanse.policies.fields import (
    Classification,
    ColumnName,
    Count,
    Country,
    Document,
    Many,
    Name,
    Positive,
    PublicKey,
    PurposeKey,
    Sha256Hex,
    Text,
    UtcTime,
    problems,
)

HEADER: Final = "hanse agreement v1\n"
MAX_CELLS: Final = 1000  # edges or categories of one column
_Small = Annotated[int, Field(ge=1, le=10_000)]


def _require_unique(what: str, values: Iterable[Hashable]) -> None:
    """Refuses repeated values; says where, not which."""
    if any(count > 1 for count in Counter(values).values()):
        raise PydanticCustomError("unique", "{what} must differ from each other", {"what": what})


class Member(Document):
    """One organisation that takes part.

    Attributes:
        name: Short name, used in messages and logs.
        organisation: Legal name, as consents name it.
        jurisdiction: Where its data is kept and processed.
        role: ``joint`` controller, ``provider`` of data to the others, or ``entrusted`` processor.
        approver: The person who approves for it (its data protection officer).
        node_key: Key of its node.
        approver_key: Key of the approver; never on the node.
    """

    name: Name
    organisation: Text
    jurisdiction: Country
    role: Literal["joint", "provider", "entrusted"]
    approver: Text
    node_key: PublicKey
    approver_key: PublicKey


class Coordinator(Document):
    """Who runs the rounds; sees no row."""

    name: Name
    jurisdiction: Country
    key: PublicKey


class Column(Document):
    """One column that may be used, with the public cells that its values fall into.

    Attributes:
        name: Name in every member's source.
        kind: ``numeric`` (cut at ``edges``) or ``categorical`` (one of ``categories``).
        classification: Class of its content.
        edges: Bin edges of a numeric column, increasing; public, so never taken from the data.
        categories: Dictionary of a categorical column; public as well.
        necessity: Why the purpose needs it; required for sensitive columns.
    """

    name: ColumnName
    kind: Literal["numeric", "categorical"]
    classification: Classification
    edges: Annotated[Many[float], Field(max_length=MAX_CELLS)] = ()
    categories: Annotated[Many[Text], Field(max_length=MAX_CELLS)] = ()
    necessity: Text | None = None

    @model_validator(mode="after")
    def _cells_fit_kind(self) -> Self:
        numeric = self.kind == "numeric"
        if bool(self.edges) != numeric or bool(self.categories) == numeric:
            raise PydanticCustomError(
                "cells", "give edges to a numeric column, categories to a categorical one"
            )
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise PydanticCustomError("edges", "write the edges in increasing order, each once")
        _require_unique("the categories", self.categories)
        return self


class Label(Document):
    """What is predicted: the column and its value that counts as yes."""

    name: ColumnName
    positive: Text


class Training(Document):
    """The model and how it is trained.

    Attributes:
        model: ``logistic`` or ``mlp``.
        hidden: Units of the hidden layers; none for ``logistic``.
        rounds: Rounds of one run.
        local_steps: Steps of one member in one round.
        sample_rate: Probability that a step uses a record, in (0, 1].
        learning_rate: Step size at the first step.
        clip_norm: L2 bound of one record's gradient.
        max_update_norm: L2 bound of one member's update; a longer one is rejected.
        round_timeout_s: Seconds after which a round goes on without those who did not answer.
        holdout_fraction: Share of the records that is kept for evaluation.
    """

    model: Literal["logistic", "mlp"]
    hidden: Annotated[Many[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=8)]
    rounds: _Small
    local_steps: _Small
    sample_rate: Annotated[float, Field(gt=0, le=1)]
    learning_rate: Positive
    clip_norm: Positive
    max_update_norm: Positive
    round_timeout_s: Annotated[int, Field(ge=1, le=86_400)]
    holdout_fraction: Annotated[float, Field(gt=0, le=0.5)]

    @model_validator(mode="after")
    def _hidden_fits_model(self) -> Self:
        if bool(self.hidden) != (self.model == "mlp"):
            raise PydanticCustomError("hidden", "give hidden layers to an mlp, none to a logistic model")
        return self


class Privacy(Document):
    """The (epsilon, delta) that every member's records have over all runs of the agreement."""

    unit: Literal["record"]
    adjacency: Literal["add-or-remove-one"]
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]


class Cohort(Document):
    """How many there must be.

    Attributes:
        minimum_rows: Subjects that a member must admit to take part.
        minimum_members: Members in every aggregate.
        suppress_below: Counts below this leave a member only as "fewer than".
    """

    minimum_rows: Count
    minimum_members: Annotated[int, Field(ge=2)]
    suppress_below: Count


class Scoring(Document):
    """Who may ask for scores, for what, in which form.

    Attributes:
        purpose: A purpose of the ``scoring`` branch.
        callers: Names that may ask; nobody else.
        output: ``score``, or ``band`` (deciles).
        decimals: Decimals that a score is rounded to.
        prohibited_uses: Uses that are denied beside those that always are.
    """

    purpose: PurposeKey
    callers: Many[Name]
    output: Literal["score", "band"]
    decimals: Annotated[int, Field(ge=0, le=6)]
    prohibited_uses: Many[Name]


class Assessment(Document):
    """The impact assessment that was made before."""

    reference: Text
    approved_at: UtcTime
    expires_at: UtcTime


class Border(Document):
    """What allows data to be processed in several jurisdictions."""

    mechanism: Literal["none", "security_assessment", "certification", "standard_contract"]
    reference: Text | None


class Software(Document):
    """What every member's node must run."""

    version: Text
    digest: Sha256Hex


class Agreement(Document):
    """One agreement, in version 1 of its form.

    Attributes:
        schema_version: Version of the form.
        id: Short name; models are named after it.
        version: Version of this agreement, from 1.
        title: What it is for, in one line.
        purpose: Purpose of the training.
        legal_basis: ``consent`` and nothing else.
        proposer: The person who proposes it.
        auditor: The person who audits it.
        members: Who takes part, at least two.
        coordinator: Who runs the rounds.
        columns: The columns that may be used; no other is read.
        label: What is predicted.
        training: How.
        privacy: Budget per record; null, which must be written, for training without differential privacy.
        cohort: How many there must be.
        scoring: What scores may be used for.
        assessment: The impact assessment.
        border: What allows processing in several jurisdictions.
        retention_days: Days for which the results of a run are kept.
        valid_from: First moment at which it is in force.
        valid_until: First moment at which it no longer is.
        software: What every node runs.
    """

    schema_version: Literal[1]
    id: Name
    version: Count
    title: Text
    purpose: PurposeKey
    legal_basis: Literal["consent"]
    proposer: Text
    auditor: Text
    members: Annotated[Many[Member], Field(min_length=2, max_length=100)]
    coordinator: Coordinator
    columns: Annotated[Many[Column], Field(min_length=1, max_length=5000)]
    label: Label
    training: Training
    privacy: Privacy | None
    cohort: Cohort
    scoring: Scoring
    assessment: Assessment
    border: Border
    retention_days: Count
    valid_from: UtcTime
    valid_until: UtcTime
    software: Software

    @field_validator("members")
    @classmethod
    def _members_differ(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
        _require_unique("names of members", (member.name for member in members))
        _require_unique("organisations of members", (member.organisation for member in members))
        return members

    @field_validator("columns")
    @classmethod
    def _columns_differ(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        # SQL compares names without case: "Age" beside "age" would read one column twice.
        _require_unique(
            "names of columns, also without case,", (column.name.casefold() for column in columns)
        )
        return columns

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.label.name.casefold() in {column.name.casefold() for column in self.columns}:
            raise PydanticCustomError("label", "remove the label from the columns: it would predict itself")
        if self.coordinator.name in {member.name for member in self.members}:
            raise PydanticCustomError("coordinator", "give the coordinator a name that no member has")
        keys = [key for member in self.members for key in (member.node_key, member.approver_key)]
        # By value: a key keeps its holder's powers under every name.
        _require_unique(
            "the keys of members and coordinator",
            (VerifierKey.decode(key).public_bytes for key in (*keys, self.coordinator.key)),
        )
        if self.valid_from >= self.valid_until:
            raise PydanticCustomError("validity", "let valid_until be later than valid_from")
        if self.assessment.approved_at >= self.assessment.expires_at:
            raise PydanticCustomError("validity", "let assessment.expires_at be later than approved_at")
        return self

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Reads an agreement as people write it.

        Args:
            text: YAML (see :mod:`hanse.policies.documents`).

        Returns:
            The agreement.

        Raises:
            PolicyError: ``policy.invalid``; its detail names each field and what to do.
        """
        return cls._from_json(yaml_to_json(text))

    def to_yaml(self) -> str:
        """Writes the agreement as YAML that :meth:`from_yaml` reads as an equal one."""
        return to_yaml(self.model_dump(mode="json"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads the text that is signed, and no other spelling of the same agreement.

        Args:
            text: Text from anywhere.

        Returns:
            The agreement, with ``agreement.text() == text``.

        Raises:
            PolicyError: ``policy.invalid`` for every other text.
        """
        if not text.startswith(HEADER) or not text.endswith("\n"):
            raise PolicyError("policy.invalid", f"not an agreement: its first line is not {HEADER.strip()!r}")
        body = text.removeprefix(HEADER).removesuffix("\n").encode(errors="replace")
        try:
            parse_canonical_json(body)
        except ProtocolError as error:
            raise PolicyError("policy.invalid", "the agreement is not in its canonical form") from error
        agreement = cls._from_json(body)
        # Equal values in another spelling (1 for 1.0, a time with an offset) are another text: refused.
        if agreement.text() != text:
            raise PolicyError("policy.invalid", "the agreement is not in its canonical form")
        return agreement

    def text(self) -> str:
        """The text that is signed: a first line, then canonical JSON, then a newline."""
        return f"{HEADER}{canonical_json(self.model_dump(mode='json')).decode('ascii')}\n"

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`text`, 64 hex digits: what logs, messages and models call this agreement."""
        return sha256_hex(self.text().encode("ascii"))

    @property
    def organisations(self) -> frozenset[str]:
        """Legal names of all members, as a consent must name them."""
        return frozenset(member.organisation for member in self.members)

    @property
    def jurisdictions(self) -> frozenset[str]:
        """Where members and coordinator are."""
        return frozenset((*(member.jurisdiction for member in self.members), self.coordinator.jurisdiction))

    @classmethod
    def _from_json(cls, data: bytes) -> Self:
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise PolicyError("policy.invalid", "; ".join(problems(error))) from error

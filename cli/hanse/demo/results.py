"""What one demo run found: the one document behind the report, the tables and ``--json``.

Every figure names its unit. Figures marked "demo only" need the members' rows, labels or test rows in one
place; the demo has them because it wrote them. A real collaboration sees the private estimates only.
"""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hanse.audit import VerifiedLog
from hanse.errors import ConfigurationError

Auc = Annotated[float, Field(ge=0, le=1)]
"""Area under the ROC curve, 0 to 1; 0.5 is a coin."""

NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Facts(BaseModel):
    """Frozen, closed and finite: JSON has no NaN, and a report must not print one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetFacts(Facts):
    """Which data the run used, and what of it is generated.

    Attributes:
        name: Short name, as in the data dictionary.
        title: Name for a reader.
        source: Who published it, and where.
        licence: Licence as the source states it.
        rows: Rows of the whole file.
        test_rows: Rows kept aside by the demo, which no member has.
        label: Label column.
        positive: Value of the label that is predicted.
        positive_rate: Share of positive rows, 0 to 1.
        natural_key: What the rows were divided by.
        left_out: Columns that no member was given, with the reason.
        generated: What is made up and is no part of the data.
    """

    name: str
    title: str
    source: str
    licence: str
    rows: Count
    test_rows: Count
    label: str
    positive: str
    positive_rate: Annotated[float, Field(ge=0, le=1)]
    natural_key: str
    left_out: dict[str, str] = {}
    generated: tuple[str, ...] = ("subject identifiers", "consent events")


class AgreementFacts(Facts):
    """What the members signed.

    Attributes:
        id: Identifier of the agreement.
        digest: SHA-256 of its canonical text, hex.
        purpose: Purpose of processing.
        model: Kind of model.
        columns: Number of columns that may be read, label not counted.
        rounds: Rounds of training.
        local_steps: Steps of every member in a round.
        sample_rate: Probability of a row to be in a step.
        epsilon: Budget per member and record; None without differential privacy.
        delta: As epsilon.
        unit: Unit of privacy.
        adjacency: Neighbouring relation.
        minimum_rows: Fewest admitted rows of a member.
        minimum_members: Fewest members in an aggregate.
    """

    id: str
    digest: str
    purpose: str
    model: str
    columns: Count
    rounds: Count
    local_steps: Count
    sample_rate: Annotated[float, Field(gt=0, le=1)]
    epsilon: NonNegative | None = None
    delta: NonNegative | None = None
    unit: str = "record"
    adjacency: str = "add-or-remove-one"
    minimum_rows: Count
    minimum_members: Count


class MemberFacts(Facts):
    """One member and the rows it brought.

    Attributes:
        name: Name in the agreement.
        organisation: Name for a reader.
        groups: Values of the natural key that its customers have.
        rows: Rows it holds.
        positive_rate: Share of positive rows, 0 to 1 (demo only).
        considered: Rows that the first round considered for training.
        admitted: Of those, rows admitted.
        excluded_by_rule: Rows excluded, by the first rule that refused each.
        hidden_by_rule: Values of admitted rows that were hidden, by the first rule that refused each.
        hidden_by_column: Admitted rows in which a column was hidden, by column.
        epsilon: Epsilon spent when the run ended; None without differential privacy.
    """

    name: str
    organisation: str
    groups: tuple[str, ...]
    rows: Count
    positive_rate: Annotated[float, Field(ge=0, le=1)]
    considered: Count
    admitted: Count
    excluded_by_rule: dict[str, Count] = {}
    hidden_by_rule: dict[str, Count] = {}
    hidden_by_column: dict[str, Count] = {}
    epsilon: NonNegative | None = None


class RoundFacts(Facts):
    """One round.

    Attributes:
        round: Number, from 1.
        duration_s: Seconds from the first command to the aggregate.
        auc_exact: AUC of the model after this round on the test rows (demo only).
        auc_estimate: Estimate from the members' noisy histograms, where the round has one.
        auc_standard_error: Standard error of that estimate.
        loss_exact: Mean log loss on the test rows, nats (demo only).
        admitted: Rows admitted for the round, by member.
        epsilon: Epsilon spent up to and with this round, by member; empty without differential privacy.
    """

    round: Annotated[int, Field(ge=1)]
    duration_s: NonNegative
    auc_exact: Auc
    auc_estimate: Auc | None = None
    auc_standard_error: NonNegative | None = None
    loss_exact: NonNegative | None = None
    admitted: dict[str, Count] = {}
    epsilon: dict[str, NonNegative] = {}

    @model_validator(mode="after")
    def _estimate_has_error(self) -> Self:
        if (self.auc_estimate is None) != (self.auc_standard_error is None):
            raise ValueError("an estimate and its standard error come together")
        return self


class MemberQuality(Facts):
    """How good three models are for one member: on its own kind of customers, and on everybody's.

    Attributes:
        name: Member.
        own_test_rows: Test rows that fall in the member's share.
        own_test_positives: Of those, positive ones.
        alone_own: AUC of the member's own model on its share of the test rows; None if that has one class
            only.
        federated_own: AUC of the federated model there.
        pooled_own: AUC of the pooled model there.
        own_standard_error: Standard error of these AUC values from the sampling of the test rows.
        alone_all: AUC of the member's own model on all test rows.
    """

    name: str
    own_test_rows: Count
    own_test_positives: Count
    alone_own: Auc | None = None
    federated_own: Auc | None = None
    pooled_own: Auc | None = None
    own_standard_error: NonNegative | None = None
    alone_all: Auc


class QualityFacts(Facts):
    """Exact AUC on the test rows, which no member has (all of it demo only).

    Attributes:
        test_rows: Test rows.
        test_positives: Of those, positive ones.
        alone_mean: Mean over members of the AUC of a model trained alone under the same privacy.
        federated: The federated model that was registered.
        federated_without_privacy: The same training in one process without noise.
        pooled: The same model on all rows in one place, without noise.
        standard_error: Standard error of the federated AUC from the sampling of the test rows.
        members: Figures of each member.
    """

    test_rows: Count
    test_positives: Count
    alone_mean: Auc
    federated: Auc
    federated_without_privacy: Auc
    pooled: Auc
    standard_error: NonNegative
    members: tuple[MemberQuality, ...]


class ScoringCall(Facts):
    """One call to the scorer.

    Attributes:
        caller: Who called.
        purpose: Purpose that the call named.
        allowed: Whether it was answered.
        outcome: gRPC status, or what came back.
        subjects: Subjects asked for.
        scored: Subjects with a score.
        code: Error code of a refusal.
        rule: Rule that refused.
        latency_ms: Milliseconds at the caller.
    """

    caller: str
    purpose: str
    allowed: bool
    outcome: str
    subjects: Count
    scored: Count
    code: str | None = None
    rule: str | None = None
    latency_ms: NonNegative | None = None


class LogFacts(Facts):
    """One audit log, verified from its first byte.

    Attributes:
        owner: Whose log.
        origin: Origin line of its checkpoints.
        entries: Entries.
        root: Merkle root over them, hex.
        verified: Whether verification passed.
    """

    owner: str
    origin: str
    entries: Count
    root: str
    verified: bool

    @classmethod
    def of(cls, owner: str, log: VerifiedLog) -> Self:
        """Of a log that was verified."""
        return cls(owner=owner, origin=log.origin, entries=log.size, root=log.root.hex(), verified=True)


class TimelineEntry(Facts):
    """One log entry, as the timeline shows it.

    Attributes:
        index: Index in its log.
        time: When it was written.
        actor: Organisation that wrote it.
        log: Whose log it is in.
        type: Event type.
        round: Round, where it belongs to one.
        decision: Permit or deny, where one was taken.
        reasons: Codes and rules of the decision.
    """

    index: Count
    time: datetime
    actor: str
    log: str
    type: str
    round: Count | None = None
    decision: Literal["permit", "deny"] | None = None
    reasons: tuple[str, ...] = ()


class ModelFacts(Facts):
    """The registered model version.

    Attributes:
        name: Name and version.
        manifest_digest: SHA-256 of the signed manifest, hex.
        features: Features after preprocessing.
        parameters: Trained parameters; of trees the values of their leaves.
        trees: Number of boosted trees; 0 for other models.
    """

    name: str
    manifest_digest: str
    features: Count
    parameters: Count
    trees: int = 0


class DemoResult(Facts):
    """Everything that one demo run found.

    Attributes:
        schema_version: Version of this document.
        version: Version of Hanse.
        started_at: Start, UTC.
        duration_s: Seconds from start to end.
        dataset: The data.
        agreement: What was signed.
        members: Members, in the order of the agreement.
        rounds: Rounds, in order.
        quality: Alone, federated, pooled.
        model: The registered version.
        scoring: Calls to the scorer.
        logs: The verified logs.
        timeline: Log entries of all logs, by time.
        rules: What each rule that appears says, by its identifier.
    """

    schema_version: Literal[1] = 1
    version: str
    started_at: datetime
    duration_s: NonNegative
    dataset: DatasetFacts
    agreement: AgreementFacts
    members: tuple[MemberFacts, ...] = Field(min_length=1)
    rounds: tuple[RoundFacts, ...] = Field(min_length=1)
    quality: QualityFacts
    model: ModelFacts
    scoring: tuple[ScoringCall, ...] = ()
    logs: tuple[LogFacts, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    rules: dict[str, str] = {}

    def to_json(self) -> bytes:
        """This document as indented JSON, UTF-8, with a final newline."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse :meth:`to_json`.

        Raises:
            ConfigurationError: ``config.bad-data`` when ``data`` is no such document.
        """
        try:
            return cls.model_validate_json(data)
        except ValueError as error:
            raise ConfigurationError("config.bad-data", f"not a demo result: {error}") from error

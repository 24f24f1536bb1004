"""The card of a model version: its signed manifest, and the same for people."""

from datetime import UTC, datetime, timedelta
from typing import Final

from hanse.api.v1 import scoring_pb2 as pb
from hanse.crypto import canonical_json
from hanse.errors import ServingError
from hanse.learning.artifact import ModelManifest
from hanse.learning.manifests import AnyManifest, origin_of, read_any_manifest
from hanse.learning.subject_values import needed
from hanse.learning.transform import ColumnFeatures
from hanse.policies import Agreement
from hanse.server.scoring.served import Served

NO_PRIVACY: Final = "trained without differential privacy: nothing bounds what the model shows of a record"
LIMIT: Final = (
    "about one record of the training data and about the model; a person with several records, or records at "
    "several members, is protected less, and what a score says about the person it is asked about is not "
    "covered"
)
CALIBRATED: Final = "scores are corrected by what was seen on held-out records"
NOT_CALIBRATED: Final = "scores are as the model has them, not corrected: .3 need not mean three in ten"
ERROR: Final = "expected and observed shares differ by {error:.4f} on average (standard error {chance:.4f})"
NO_ERROR: Final = "no run has told how far they are from observed shares"
MEMBER_ASSUMPTION: Final = "the member that holds the record runs the agreed software"


def card_of(served: Served, caller: str) -> pb.GetModelCardResponse:
    """The card.

    Args:
        served: The model version.
        caller: Name of the caller, who is told what it owes the people it asks about.

    Raises:
        ServingError: ``model.no-card`` for a model that has no manifest here.
    """
    if not served.note:
        raise ServingError("model.no-card", "the version was made ready without its manifest")
    manifest = read_any_manifest(served.note)
    return pb.GetModelCardResponse(
        signed_manifest=served.note,
        manifest=canonical_json(manifest.model_dump(mode="json")),
        summary=summary_of(served, manifest, caller),
    )


def summary_of(served: Served, manifest: AnyManifest, caller: str) -> pb.ModelSummary:
    """What is in manifest and agreement, for people."""
    agreement, origin = served.agreement.agreement, origin_of(manifest)
    listed = agreement.scoring.caller(caller)
    return pb.ModelSummary(
        model=served.name,
        version=served.version,
        model_digest=served.digest,
        agreement_digest=served.agreement.digest,
        agreement=agreement.title,
        purpose=origin.purpose,
        label=manifest.label.name,
        members=origin.members,
        columns=columns_of(served, manifest, agreement),
        metrics=[pb.Metric(name=name, value=value) for name, value in sorted(manifest.metrics.items())],
        privacy=privacy_of(manifest),
        created_at=_time(manifest.created_at),
        usable_until=_time(usable_until(manifest, agreement)),
        output=agreement.scoring.output,
        opt_out_available=listed is not None and listed.opt_out_available,
        human_review_required=agreement.scoring.significant_effect,
        calibration=calibration_of(manifest),
    )


def calibration_of(manifest: AnyManifest) -> pb.CalibrationStatement:
    """Whether scores mean probabilities, and what is known of it."""
    calibrated = isinstance(manifest, ModelManifest) and manifest.calibration is not None
    error, chance = (manifest.metrics.get(f"calibration_{name}") for name in ("error", "standard_error"))
    said = CALIBRATED if calibrated else NOT_CALIBRATED
    found = NO_ERROR if error is None or chance is None else ERROR.format(error=error, chance=chance)
    text = f"{said}; {found}"
    return pb.CalibrationStatement(calibrated=calibrated, error=error, standard_error=chance, text=text)


def usable_until(manifest: AnyManifest, agreement: Agreement) -> datetime:
    """The end of the agreement, or of the time that it lets models be kept, whichever is first."""
    kept = manifest.created_at + timedelta(days=agreement.retention.model_days)
    return min(agreement.valid_until, kept)


def columns_of(served: Served, manifest: AnyManifest, agreement: Agreement) -> list[pb.CardColumn]:
    """The agreement's columns, and what the model makes of each; of other members' it is not known here."""
    if isinstance(manifest, ModelManifest):
        used = {column.name for column in needed(served.columns, manifest.transform)}
        forms = {column.name: form_of(column) for column in manifest.transform.columns}
    else:
        used, forms = {column.name for column in served.needed}, {}
    return [
        pb.CardColumn(
            name=column.name,
            kind=column.kind,
            classification=column.classification,
            used=column.name in used,
            form=forms.get(column.name, ""),
        )
        for column in agreement.columns
    ]


def form_of(column: ColumnFeatures) -> str:
    """What becomes of a column's values, in words."""
    if column.scale is not None:
        return "standardised"
    if column.buckets:
        return f"{column.buckets} buckets"
    if column.kind == "numeric":
        return f"{len(column.edges) + 1} bins"
    return f"{len(column.categories)} categories"


def privacy_of(manifest: AnyManifest) -> pb.PrivacyStatement:
    """What a run has cost a record: the figure, what it is about, what it rests on, what it does not say."""
    if not isinstance(manifest, ModelManifest) or manifest.privacy is None:
        return pb.PrivacyStatement(private=False, limit=NO_PRIVACY)
    told = dict(manifest.certificate or {})
    epsilon = told.get("epsilon", max(manifest.epsilon.values(), default=None))
    return pb.PrivacyStatement(
        private=True,
        epsilon=float(epsilon) if isinstance(epsilon, int | float) else None,
        delta=manifest.privacy.delta,
        unit=str(told.get("unit", manifest.privacy.unit)),
        adjacency=str(told.get("adjacency", manifest.privacy.adjacency)),
        assumption=str(told.get("assumption", MEMBER_ASSUMPTION)),
        limit=LIMIT,
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

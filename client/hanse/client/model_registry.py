"""A member's model versions: what is known of each, what was decided about them, and what the gate says."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hanse.client.consents import open_ledger
from hanse.client.home import MemberHome
from hanse.client.logs import log_place
from hanse.client.packs import pack_keys
from hanse.client.peers import coordinator_keys
from hanse.crypto import VerifierKey, sha256_hex
from hanse.errors import ConfigurationError, HanseError, ServingError
from hanse.learning.artifact import MANIFEST_FILE, ModelManifest, load_model
from hanse.learning.manifests import AnyManifest, origin_of, read_any_manifest
from hanse.learning.vertical.runs.manifest import VerticalManifest, open_vertical
from hanse.policies import Agreement, ConsentLedger, Identity, read_unverified
from hanse.policies.lineage import Contained, Lineage, Withdrawals
from hanse.policies.serving import Check, Figures, Gate, Ref, ServingBook, judge
from hanse.policies.serving.evidence import LogEvidence
from hanse.policies.subject_sets import SubjectSets
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, check_registration
from hanse.scoring.saying import require_form

GATE_FILE: Final = "gate.yaml"
AUDIT_FILE: Final = "privacy-audit.json"
AS_AGREED: Final = "as agreed"


@dataclass(frozen=True, slots=True)
class Version:
    """A model version in a member's folder; its signature is not checked yet.

    Attributes:
        folder: Where it is.
        manifest: What it is.
        digest: SHA-256 of the signed manifest.
    """

    folder: Path
    manifest: AnyManifest
    digest: str

    @property
    def ref(self) -> Ref:
        """How decisions name it."""
        return Ref(self.manifest.version, self.digest)


class ModelRegistry:
    """The model versions of one member.

    Args:
        home: The member's folder.

    Raises:
        ConfigurationError: If it is no member's, or has no auditor.
    """

    def __init__(self, home: MemberHome) -> None:
        self.home = home
        self.name = Identity.load(home.identity).name
        self.approver, self.auditor = pack_keys(home)
        self.book = ServingBook(home.serving, (self.approver, self.auditor))
        self._opened = ExitStack()
        self._evidence: LogEvidence | None = None
        self._ledger: ConsentLedger | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def gate(self) -> Gate:
        """The member's gate; the default one where it has written none.

        Raises:
            PolicyError: ``policy.invalid`` naming what is wrong in it.
        """
        path = self.home.serving / GATE_FILE
        return Gate.from_yaml(path.read_text(encoding="utf-8")) if path.is_file() else Gate()

    def versions(self, name: str | None = None) -> Iterator[Version]:
        """The versions in the folder, of one model or of all, in order.

        Raises:
            ServingError: ``model.invalid`` if a manifest is none.
        """
        found = [_read(path.parent) for path in self.home.models.glob(f"*@*/{MANIFEST_FILE}")]
        ordered = sorted(found, key=lambda one: (one.manifest.name, one.manifest.version))
        return (one for one in ordered if name in (None, one.manifest.name))

    def version(self, reference: str) -> Version:
        """A version by ``name@version``.

        Raises:
            ServingError: ``model.not-found`` naming those that there are, ``model.invalid``.
        """
        folder = self.home.models / reference
        if folder.parent != self.home.models or not (folder / MANIFEST_FILE).is_file():
            known = ", ".join(one.manifest.reference for one in self.versions()) or "none"
            raise ServingError(
                "model.not-found", f"no model version {reference} in {self.home.models}; there are: {known}"
            )
        version = _read(folder)
        if version.manifest.reference != reference:
            raise ServingError("model.invalid", f"{folder} holds {version.manifest.reference}")
        return version

    def check(self, version: Version) -> None:
        """Refuses a version that the coordinator has not signed, that was altered, or that no witness saw.

        Raises:
            ServingError: ``model.invalid``.
            ConfigurationError: If the coordinator, or a file, is missing.
        """
        _require_signed(version, coordinator_keys(self.home))
        agreement = self.agreement(version)
        try:
            registration = (version.folder / REGISTRATION_FILE).read_bytes()
            proof = (version.folder / PROOF_FILE).read_bytes()
        except OSError as error:
            detail = f"{version.manifest.reference} comes without its registration: {error.strerror}"
            raise ServingError("model.invalid", detail) from error
        check_registration(registration, proof, agreement, version.digest)

    def agreement(self, version: Version) -> Agreement:
        """The agreement that a version was made under.

        Raises:
            ServingError: ``model.not-found`` if it is not here.
        """
        file = self.home.agreements / f"{version.manifest.agreement_digest}.agreement"
        if not file.is_file():
            detail = f"the agreement of {version.manifest.reference} is not in {self.home.agreements}"
            raise ServingError("model.not-found", detail)
        return read_unverified(file.read_bytes())

    def contained(self, version: Version) -> Contained:
        """Who of the version's own subjects has withdrawn since.

        Raises:
            ServingError: ``model.lineage`` if nobody can tell.
        """
        try:
            evidence, ledger = self._opened_once()
            origin = origin_of(version.manifest)
            lineage = Lineage(
                agreement=self.agreement(version),
                purpose=origin.purpose,
                own=self.name in origin.members,
                created_at=origin.created_at,
                sets=evidence.sets(origin.run),
            )
            return Withdrawals(lineage).update(ledger, SubjectSets(self.home.subject_sets))
        except HanseError as error:
            detail = f"{version.manifest.reference}: who has withdrawn cannot be told: {error.detail}"
            raise ServingError("model.lineage", detail) from error

    def require_usable(self, version: Version, now: datetime) -> None:
        """Refuses a version past its deadline.

        Raises:
            ServingError: ``model.overdue``, ``model.lineage``.
        """
        contained = self.contained(version)
        if contained.is_over(now):
            detail = f"{version.manifest.reference} had to be retired by {contained.deadline}"
            raise ServingError("model.overdue", detail)

    def require_form(self, version: Version, deciles: tuple[float, ...]) -> None:
        """Refuses a version whose scores cannot be said in the agreed form, or deciles that nobody needs.

        Args:
            version: A version.
            deciles: Where tenths of people begin, as is to be decided with it; maybe none.

        Raises:
            ServingError: ``model.invalid``.
        """
        own = version.manifest.deciles if isinstance(version.manifest, ModelManifest) else ()
        scoring = self.agreement(version).scoring
        if deciles and (own or scoring.output != "decile"):
            detail = "the version says itself where tenths begin" if own else "the agreement has no deciles"
            raise ServingError("model.invalid", f"{version.manifest.reference}: {detail}")
        require_form(scoring, own or deciles)

    def judged(self, version: Version) -> tuple[Check, ...]:
        """What the gate says of a version."""
        return judge(self.gate(), figures_of(version, self.agreement(version)))

    def _opened_once(self) -> tuple[LogEvidence, ConsentLedger]:
        if self._evidence is None or self._ledger is None:
            self._evidence = LogEvidence(log_place(self.home))
            self._evidence.refresh()
            self._ledger = self._opened.enter_context(open_ledger(self.home))
        return self._evidence, self._ledger


def figures_of(version: Version, agreement: Agreement) -> Figures:
    """What is known about a version: from its manifest, and from the audit that is kept beside it."""
    manifest, metrics = version.manifest, version.manifest.metrics
    claimed, shown = _canaries(version)
    return Figures(
        vertical=isinstance(manifest, VerticalManifest),
        auc=metrics.get("auc"),
        auc_standard_error=metrics.get("auc_standard_error"),
        calibration_error=metrics.get("calibration_error"),
        calibration_standard_error=metrics.get("calibration_standard_error"),
        protected=any(column.protected for column in agreement.columns),
        selection_ratio=metrics.get("selection_ratio"),
        opportunity_gap=metrics.get("opportunity_gap"),
        budget=None if agreement.privacy is None else (agreement.privacy.epsilon, agreement.privacy.delta),
        spent=None if agreement.privacy is None else _spent(manifest, agreement.privacy.delta),
        leaked=_leaked(manifest, agreement),
        claimed_epsilon=claimed,
        shown_epsilon=shown,
    )


def _read(folder: Path) -> Version:
    try:
        note = (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {folder}: {error.strerror}") from error
    return Version(folder, read_any_manifest(note), sha256_hex(note))


def _require_signed(version: Version, keys: tuple[VerifierKey, ...]) -> None:
    for key in reversed(keys[1:]):
        with suppress(ServingError):
            return _open(version, key)
    return _open(version, keys[0])


def _open(version: Version, key: VerifierKey) -> None:
    if isinstance(version.manifest, VerticalManifest):
        open_vertical((version.folder / MANIFEST_FILE).read_bytes(), key)
    else:
        load_model(version.folder, key)


def _spent(manifest: AnyManifest, delta: float) -> tuple[float, float] | None:
    """The most that anything says of what the run has cost; nothing where nothing says it."""
    if isinstance(manifest, VerticalManifest):
        return None
    stated = [(epsilon, delta) for epsilon in manifest.epsilon.values()]
    certificate: dict[str, Any] | None = manifest.certificate
    if certificate is not None:
        epsilon, at_delta = certificate.get("epsilon"), certificate.get("delta")
        # No number stands for an epsilon too large to protect anybody.
        bound = float(epsilon) if isinstance(epsilon, int | float) else float("inf")
        stated.append((bound, float(at_delta) if isinstance(at_delta, int | float) else 1.0))
    return (max(each for each, _ in stated), max(at for _, at in stated)) if stated else None


def _leaked(manifest: AnyManifest, agreement: Agreement) -> tuple[float, float] | None:
    if not isinstance(manifest, VerticalManifest) or agreement.vertical is None:
        return None
    worst = [report.worst.leaked for report in manifest.leakage if report.worst is not None]
    return max(worst, default=0.5), agreement.vertical.maximum_leakage


def _canaries(version: Version) -> tuple[float | None, float | None]:
    """What epsilon an audit of this very version tried to refute, and what it shows at least."""
    try:
        facts = json.loads((version.folder / AUDIT_FILE).read_bytes())
        audit = facts["canaries"][AS_AGREED]
        bounds = [attack[kind] for attack in audit["attacks"] for kind in ("one_run_bound", "fitted_bound")]
        if facts["manifest_digest"] != version.digest:
            return None, None
        return float(audit["claimed_epsilon"]), float(max(bounds))
    except (OSError, ValueError, KeyError, TypeError):
        return None, None

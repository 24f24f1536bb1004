"""Model folders: weights as safetensors, and a signed manifest that says what they are.

A folder holds exactly two files:

* ``weights.safetensors``: one float32 vector, named ``weights``, or the arrays of boosted trees
  (:mod:`hanse.learning.boosting.model`); nothing in this format is executed.
* ``manifest.note``: a signed note. Its text is the line ``hanse model v1``, the SHA-256 of the weights file,
  and the manifest as canonical JSON, so that the signature covers every byte of the folder.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hanse.crypto import (
    SigningKey,
    VerifierKey,
    canonical_json,
    open_note,
    sha256_hex,
    sign_note,
    unverified_text,
    write_atomic,
)
from hanse.crypto.files import sync_folder
from hanse.errors import ConfigurationError, HanseError, ProtocolError, ServingError
from hanse.learning.boosting.predictor import open_trees
from hanse.learning.calibration import Calibration
from hanse.learning.predictor import Predictor, Predicts
from hanse.learning.robustness.findings import RobustnessReport
from hanse.learning.transform import Transform, n_cells
from hanse.learning.trials import TrialResult
from hanse.learning.update_shares import RunContributions
from hanse.policies import Label, Privacy, Training
from hanse.policies.fields import Count, Document, Name, PurposeKey, Sha256Hex, Text, UtcTime

WEIGHTS_FILE: Final = "weights.safetensors"
MANIFEST_FILE: Final = "manifest.note"
MAX_WEIGHTS_BYTES: Final = 1 << 30
MAX_MANIFEST_BYTES: Final = 4 << 20

_HEADER: Final = "hanse model v1"
_TEXT_LINES: Final = 4  # the last one is empty
_TENSOR: Final = "weights"
_DECILES: Final = 10


class KeptRound(Document):
    """Of which round a model is, where an agreement has patience.

    Attributes:
        kept: The round whose state was the best; 0 for the start.
        done: Rounds that the run did.
    """

    kept: Annotated[int, Field(ge=0)]
    done: Count

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.kept > self.done:
            raise ValueError("a round that was never done")
        return self


class ModelManifest(Document):
    """What a model version is, where it comes from and how good it is.

    Attributes:
        schema_version: Version of this form.
        name: Name of the model.
        version: Version of the model, from 1.
        agreement_digest: The agreement that it was trained under.
        run: The run that trained it.
        purpose: What it was trained for.
        label: What it predicts.
        transform: The preprocessing, which names the columns that it reads.
        training: Model and schedule.
        metrics: Figures on held-out records, by name; None where noise or data left none.
        privacy: The budget that every member kept, or None without privacy.
        epsilon: What each member states that the run has cost a record; empty without privacy.
        members: Members that took part.
        cell_counts: Rows per cell of the columns, summed over the members, with the privacy noise with which
            each of them published its counts; empty without privacy, because there would be no noise, and
            where members share noise, because no cell is counted.
        rows: Training records of all members, with shared noise; None without.
        certificate: What the run has cost a record and a person, and what that rests on, by
            :func:`hanse.privacy.make_certificate`; None without privacy.
        created_at: When it was registered.
        robustness: What was found of updates, where each one is seen; None elsewhere.
        contributions: What each member added, where the agreement has it computed.
        rounds: Of which round the model is, where the agreement has patience; its metrics are then of the
            rows that chose it. None where it is that of the last round.
        trials: All trials of the sweep that the model is the best of; empty for a run by itself. Epsilon and
            certificate are those of all of them.
        calibration: What its scores mean, by the held-out records; None where too few or too noisy ones say
            so, and then a score is what the model has.
        average: Share of each feature among the training records of all members, in hundredths: whom reasons
            of scores compare people with; empty where nobody counts, or the counts are not to be told.
        deciles: Where the tenths of the held-out records begin, in calibrated scores; empty where the run
            does not say.
    """

    schema_version: Literal[1] = 1
    name: Name
    version: Count
    agreement_digest: Sha256Hex
    run: Text
    purpose: PurposeKey
    label: Label
    transform: Transform
    training: Training
    metrics: dict[Text, float | None]
    privacy: Privacy | None
    epsilon: dict[Name, float]
    members: Annotated[tuple[Name, ...], Field(min_length=2)]
    cell_counts: tuple[float, ...] = ()
    rows: float | None = Field(default=None, exclude_if=lambda rows: rows is None)
    certificate: dict[str, JsonValue] | None = Field(default=None, exclude_if=lambda given: given is None)
    created_at: UtcTime
    robustness: RobustnessReport | None = Field(default=None, exclude_if=lambda given: given is None)
    contributions: RunContributions | None = Field(default=None, exclude_if=lambda given: given is None)
    rounds: KeptRound | None = Field(default=None, exclude_if=lambda given: given is None)
    trials: tuple[TrialResult, ...] = Field(default=(), exclude_if=lambda given: not given)
    calibration: Calibration | None = Field(default=None, exclude_if=lambda given: given is None)
    average: tuple[float, ...] = Field(default=(), exclude_if=lambda given: not given)
    deciles: tuple[float, ...] = Field(default=(), exclude_if=lambda given: not given)

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if list(self.deciles) != sorted(self.deciles) or len(self.deciles) not in {0, _DECILES - 1}:
            raise ValueError("nine deciles in their order, or none")
        if len(self.average) not in {0, self.transform.n_features} or not all(
            0 <= s <= 1 for s in self.average
        ):
            raise ValueError("one share per feature, or none")
        cells = sum(n_cells(column) for column in self.transform.columns)
        if len(self.cell_counts) not in {0, cells} or (self.cell_counts and self.privacy is None):
            raise ValueError("one noisy count per cell, or none")
        return self

    @property
    def reference(self) -> str:
        """``name@version``: names the version to people, and its folder."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version whose signature and weights have been checked.

    Attributes:
        manifest: What it is.
        predictor: Features to scores.
        digest: SHA-256 of the signed manifest, 64 hex digits: names this version in logs.
        note: The signed manifest itself.
    """

    manifest: ModelManifest
    predictor: Predicts
    digest: str
    note: bytes = field(default=b"", repr=False)

    @property
    def transform(self) -> Transform:
        """Rows to features."""
        return self.manifest.transform

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of transformed rows as they are served: calibrated, where the version says how.

        Raises:
            ServingError: As :meth:`hanse.learning.predictor.Predicts.scores`.
        """
        calibration = self.manifest.calibration
        scores = self.predictor.scores(features)
        return scores if calibration is None else calibration.apply(scores)


def encode_weights(weights: NDArray[np.float32]) -> bytes:
    """The weights file: safetensors with one vector; equal weights give equal bytes."""
    return save({_TENSOR: np.ascontiguousarray(weights, dtype=np.float32)})


def open_model(manifest_file: bytes, weights_file: bytes, verifier: VerifierKey) -> LoadedModel:
    """Checks a model version and makes it ready to score.

    Args:
        manifest_file: The signed manifest, from anywhere.
        weights_file: The weights, from anywhere.
        verifier: Key of whoever registered the model.

    Returns:
        The model.

    Raises:
        ServingError: ``model.invalid`` if the signature, any digest or any part is not right.
    """
    try:
        text = open_note(manifest_file, verifier).text
    except HanseError as error:
        raise ServingError("model.invalid", f"the manifest does not verify: {error.detail}") from error
    manifest, weights_sha256 = _parse_text(text)
    if sha256_hex(weights_file) != weights_sha256:
        raise ServingError("model.invalid", "the weights are not those of the manifest")
    predictor = make_predictor(manifest.training, manifest.transform, weights_file)
    return LoadedModel(manifest, predictor, sha256_hex(manifest_file), manifest_file)


def make_predictor(training: Training, transform: Transform, weights_file: bytes) -> Predicts:
    """What scores rows.

    Args:
        training: The model and how it was trained.
        transform: Its preprocessing.
        weights_file: From anywhere.

    Raises:
        ServingError: ``model.invalid`` if the file is none of this model.
    """
    if training.model == "trees":
        return open_trees(training, transform, weights_file)
    return Predictor(training, transform.n_features, _decode_weights(weights_file), transform.groups)


def read_manifest(manifest_file: bytes) -> ModelManifest:
    """Reads a manifest by whose digest it is known, without its weights; the signature is not checked.

    Args:
        manifest_file: The signed manifest. The caller has compared its SHA-256 with one from a log.

    Returns:
        The manifest.

    Raises:
        ServingError: ``model.invalid`` if it is none.
    """
    try:
        return _parse_text(unverified_text(manifest_file))[0]
    except ProtocolError as error:
        raise ServingError("model.invalid", f"not a signed manifest: {error.detail}") from error


def store_model(folder: Path, manifest_file: bytes, weights_file: bytes) -> str:
    """Writes a model folder; it appears whole or not at all.

    Args:
        folder: The folder, not there yet; its parent must exist.
        manifest_file: The signed manifest.
        weights_file: The weights.

    Returns:
        The model's digest.

    Raises:
        ConfigurationError: ``config.exists`` if the folder exists, ``config.unwritable`` if the file system
            refuses.
    """
    if folder.exists():
        raise ConfigurationError("config.exists", f"{folder} exists")
    try:
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            building.chmod(0o755)
            write_atomic(building / WEIGHTS_FILE, weights_file)
            write_atomic(building / MANIFEST_FILE, manifest_file)
            building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)  # gone if it was renamed
        sync_folder(folder.parent)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot write {folder}: {error.strerror}") from error
    return sha256_hex(manifest_file)


def write_model(folder: Path, manifest: ModelManifest, weights_file: bytes, key: SigningKey) -> str:
    """Signs a model version and writes its folder.

    Args:
        folder: The folder, not there yet; its parent must exist.
        manifest: What the model is.
        weights_file: The model's file; of weights, from :func:`encode_weights`.
        key: Key of whoever registers the model.

    Returns:
        The model's digest.

    Raises:
        ServingError: ``model.invalid`` if manifest and weights do not belong together; nothing is written.
        ConfigurationError: As :func:`store_model`.
    """
    manifest_file = sign_note(_format_text(manifest, sha256_hex(weights_file)), key)
    open_model(manifest_file, weights_file, key.verifier)
    return store_model(folder, manifest_file, weights_file)


def load_model(folder: Path, verifier: VerifierKey) -> LoadedModel:
    """Reads and checks a model folder.

    Args:
        folder: The folder.
        verifier: Key of whoever registered the model.

    Returns:
        The model.

    Raises:
        ServingError: ``model.not-found`` if a file is missing, ``model.invalid`` if anything in it is not
            right.
    """
    manifest_file = _read(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
    return open_model(manifest_file, _read(folder / WEIGHTS_FILE, MAX_WEIGHTS_BYTES), verifier)


def _format_text(manifest: ModelManifest, weights_sha256: str) -> str:
    """The text that is signed: a first line, the digest of the weights, the manifest."""
    body = canonical_json(manifest.model_dump(mode="json")).decode("ascii")
    return f"{_HEADER}\n{weights_sha256}\n{body}\n"


def _parse_text(text: str) -> tuple[ModelManifest, str]:
    """Reads what :func:`_format_text` wrote, and no other spelling of it."""
    lines = text.split("\n")
    if len(lines) != _TEXT_LINES:
        raise ServingError("model.invalid", "not a model manifest")
    try:
        manifest = ModelManifest.model_validate_json(lines[2].encode(errors="replace"))
    except ValidationError as error:
        raise ServingError("model.invalid", "the manifest is not valid") from error
    if _format_text(manifest, lines[1]) != text:
        raise ServingError("model.invalid", "the manifest is not in its canonical form")
    return manifest, lines[1]


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise ServingError("model.not-found", f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit_bytes:
        raise ServingError("model.invalid", f"{path} is larger than {limit_bytes} bytes")
    return data


def _decode_weights(data: bytes) -> NDArray[np.float32]:
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ServingError("model.invalid", "the weights are not safetensors") from error
    if set(tensors) != {_TENSOR} or tensors[_TENSOR].dtype != np.float32 or tensors[_TENSOR].ndim != 1:
        raise ServingError("model.invalid", "the weights are not one float32 vector")
    return tensors[_TENSOR]

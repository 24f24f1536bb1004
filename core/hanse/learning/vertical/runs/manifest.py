"""Signed documents about a vertical model: of each member's part, and of the whole.

A member's part is a folder with the part's files and ``part.note``, signed by the member's node: a first
line ``hanse model part v1`` and a :class:`PartManifest` as canonical JSON. The whole is ``manifest.note``,
signed by the coordinator, with the first line ``hanse vertical model v1`` and a :class:`VerticalManifest`. It
has no weights: it names the parts by their digests, which are in the members' logs and in the shared one.
"""

from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, ValidationError

from hanse.crypto import SigningKey, VerifierKey, canonical_json, open_note, sign_note, unverified_text
from hanse.errors import HanseError, ProtocolError, ServingError
from hanse.learning.vertical.leakage.report import LeakageReport
from hanse.policies import Label, Model, Training, Vertical
from hanse.policies.fields import (
    ColumnName,
    Count,
    Document,
    Many,
    Name,
    PurposeKey,
    Sha256Hex,
    Text,
    UtcTime,
)

PART_FILE: Final = "part.note"
_PART_HEADER: Final = "hanse model part v1"
_HEADER: Final = "hanse vertical model v1"
_LINES: Final = 3  # the last one is empty

DocumentT = TypeVar("DocumentT", bound=Document)


class PartManifest(Document):
    """What a member's part of a model is.

    Attributes:
        agreement_digest: The agreement.
        run: The run that made it.
        member: Whose part it is.
        model: Kind of the model; left out of the text for trees, so that older parts keep their digests.
        role: ``label_holder`` makes the scores; ``feature_holder`` has what its own columns mean to them.
        columns: The member's columns that it may read.
        aligned_set_root: The common people that it was learned from.
        files: SHA-256 of each file, by name.
    """

    schema_version: Literal[1] = 1
    agreement_digest: Sha256Hex
    run: Text
    member: Name
    model: Model = Field(default="trees", exclude_if=lambda given: given == "trees")
    role: Literal["label_holder", "feature_holder"]
    columns: Many[ColumnName]
    aligned_set_root: Sha256Hex
    files: dict[Text, Sha256Hex]


class Conversation(Document):
    """What two members said to each other in one phase.

    Attributes:
        phase: ``prepared``, ``trained`` or ``evaluated``, as statements name it.
        between: The two, in the order of their names.
        digest: Of all that was said; both have it in their logs.
        sent: Bytes that each of the two said.
    """

    phase: Literal["prepared", "trained", "evaluated"]
    between: tuple[Name, Name]
    digest: Sha256Hex
    sent: tuple[int, int]


class VerticalManifest(Document):
    """What a vertical model is, where it comes from and how good it is.

    Attributes:
        schema_version: Version of this form.
        name: Name of the model.
        version: Version of the model, from 1.
        agreement_digest: The agreement that it was trained under.
        run: The run that trained it.
        purpose: What it was trained for.
        label: What it predicts.
        training: Model and schedule.
        vertical: Who has what, and what they rely on.
        aligned_set_root: The common people that it was learned from.
        aligned: How many they are.
        parts: SHA-256 of each member's signed part, by member.
        conversations: What members said to each other.
        dealt: Bytes that the coordinator dealt to each member.
        metrics: Figures on rows that the label holder kept aside, as it tells them, by name; ``auc_alone`` is
            that of its own columns alone, ``auc_others`` that of what the others' columns add, alone.
        leakage: What known attacks on what each feature holder was sent learn of labels, as the label holder
            tells it.
        created_at: When it was registered.
    """

    schema_version: Literal[1] = 1
    name: Name
    version: Count
    agreement_digest: Sha256Hex
    run: Text
    purpose: PurposeKey
    label: Label
    training: Training
    vertical: Vertical
    aligned_set_root: Sha256Hex
    aligned: Count
    parts: dict[Name, Sha256Hex]
    conversations: Many[Conversation]
    dealt: dict[Name, int]
    metrics: dict[Text, float | None]
    leakage: Annotated[Many[LeakageReport], Field(min_length=1, max_length=8)]
    created_at: Annotated[UtcTime, Field()]

    @property
    def reference(self) -> str:
        """``name@version``: names the version to people, and its folder."""
        return f"{self.name}@{self.version}"


def sign_part(manifest: PartManifest, key: SigningKey) -> bytes:
    """The part's note, by its member's node key."""
    return sign_note(_text(_PART_HEADER, manifest), key)


def open_part(note: bytes, verifier: VerifierKey) -> PartManifest:
    """Reads a part's note.

    Raises:
        ServingError: ``model.invalid`` if it does not verify, or is none.
    """
    return _parse(_opened(note, verifier), _PART_HEADER, PartManifest)


def sign_vertical(manifest: VerticalManifest, key: SigningKey) -> bytes:
    """The manifest's note, by the coordinator's key."""
    return sign_note(_text(_HEADER, manifest), key)


def open_vertical(note: bytes, verifier: VerifierKey) -> VerticalManifest:
    """Reads a manifest.

    Raises:
        ServingError: ``model.invalid`` if it does not verify, or is none.
    """
    return _parse(_opened(note, verifier), _HEADER, VerticalManifest)


def read_vertical(note: bytes) -> VerticalManifest:
    """Reads a manifest by whose digest it is known; the signature is not checked.

    Raises:
        ServingError: ``model.invalid`` if it is none.
    """
    try:
        return _parse(unverified_text(note), _HEADER, VerticalManifest)
    except ProtocolError as error:
        raise ServingError("model.invalid", f"not a signed manifest: {error.detail}") from error


def is_vertical(note: bytes) -> bool:
    """Whether a manifest says that it is one of a vertical model; nothing is checked."""
    try:
        return unverified_text(note).startswith(f"{_HEADER}\n")
    except HanseError:
        return False


def _opened(note: bytes, verifier: VerifierKey) -> str:
    try:
        return open_note(note, verifier).text
    except HanseError as error:
        raise ServingError("model.invalid", f"the manifest does not verify: {error.detail}") from error


def _text(header: str, manifest: Document) -> str:
    return f"{header}\n{canonical_json(manifest.model_dump(mode='json')).decode('ascii')}\n"


def _parse(text: str, header: str, kind: type[DocumentT]) -> DocumentT:
    """Reads what :func:`_text` wrote, and no other spelling of it."""
    lines = text.split("\n")
    if len(lines) != _LINES or lines[0] != header:
        raise ServingError("model.invalid", "not a manifest of this kind")
    try:
        manifest = kind.model_validate_json(lines[1].encode(errors="replace"))
    except ValidationError as error:
        raise ServingError("model.invalid", "the manifest is not valid") from error
    if _text(header, manifest) != text:
        raise ServingError("model.invalid", "the manifest is not in its canonical form")
    return manifest

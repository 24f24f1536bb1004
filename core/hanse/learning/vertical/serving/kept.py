"""A member's part of a model as it is kept: every file is the one that the member signed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hanse.crypto import VerifierKey, sha256_hex
from hanse.errors import ServingError
from hanse.learning.vertical.runs.manifest import PART_FILE, PartManifest, open_part
from hanse.learning.vertical.serving.people import PEOPLE_FILE, decode_people
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart

ALONE: Final = "alone"
"""Folder in a label holder's part: what its own columns gave without anybody."""

_PART: Final = "part.json"
_TREES: Final = "part.safetensors"


@dataclass(frozen=True, slots=True)
class KeptPart:
    """See the module docstring.

    Attributes:
        manifest: What it is.
        digest: SHA-256 of the signed note: names the part in logs and in the model's manifest.
        people: Pseudonyms of the common people, in the common order.
        label: The trees; None at a feature holder.
        feature: What cuts mean; None at the label holder.
        alone: What the label holder's own columns gave alone; None where it was not kept.
    """

    manifest: PartManifest
    digest: str
    people: tuple[str, ...]
    label: LabelPart | None
    feature: FeaturePart | None
    alone: LabelPart | None


def open_kept(read: Callable[[str], bytes], verifiers: Sequence[VerifierKey]) -> KeptPart:
    """Reads a part and holds each of its files against the signed note.

    Args:
        read: Content of a file of the part, by its name; raises for one that is not there.
        verifiers: Keys that the member has or had.

    Raises:
        ServingError: ``model.invalid`` if the note does not verify, a file is not the one that was signed, or
            the part has no list of people, as parts of earlier versions; ``model.unsupported`` if it is part
            of a model that is no trees.
        HanseError: As ``read``.
    """
    note = read(PART_FILE)
    manifest = _opened(note, verifiers)
    files = {name: read(name) for name in manifest.files}
    if altered := [name for name, data in files.items() if sha256_hex(data) != manifest.files[name]]:
        raise ServingError("model.invalid", f"{altered[0]} of the part is not the file that was signed")
    if missing := [name for name in (_PART, PEOPLE_FILE) if name not in files]:
        raise ServingError(
            "model.invalid",
            f"the part has no {missing[0]}: train the model anew, with this version, to serve",
        )
    if manifest.model != "trees":
        raise ServingError("model.unsupported", f"the part is of a {manifest.model}; only trees are served")
    people = decode_people(files[PEOPLE_FILE])
    if manifest.role == "feature_holder":
        return KeptPart(manifest, sha256_hex(note), people, None, FeaturePart.decode(files[_PART]), None)
    label, alone = (
        LabelPart.decode(files[f"{folder}{_PART}"], files[f"{folder}{_TREES}"])
        if f"{folder}{_PART}" in files and f"{folder}{_TREES}" in files
        else None
        for folder in ("", f"{ALONE}/")
    )
    if label is None:
        raise ServingError("model.invalid", f"the part has no {_TREES}")
    return KeptPart(manifest, sha256_hex(note), people, label, None, alone)


def _opened(note: bytes, verifiers: Sequence[VerifierKey]) -> PartManifest:
    problem: ServingError | None = None
    for verifier in verifiers:
        try:
            return open_part(note, verifier)
        except ServingError as error:
            problem = error
    raise problem or ServingError("model.invalid", "no key to verify the part with")

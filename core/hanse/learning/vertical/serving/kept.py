"""A member's part of a model as it is kept: every file is the one that the member signed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hanse.crypto import VerifierKey, sha256_hex
from hanse.errors import ServingError
from hanse.learning.vertical.runs.manifest import PART_FILE, PartManifest, open_part
from hanse.learning.vertical.serving import late_fusion, scorecard, split_network, trees
from hanse.learning.vertical.serving.halves import FeatureHalf, LabelHalf, file_of
from hanse.learning.vertical.serving.people import PEOPLE_FILE, decode_people

ALONE: Final = "alone"
"""Folder in a label holder's part: what its own columns gave without anybody."""

_Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class KeptPart:
    """See the module docstring.

    Attributes:
        manifest: What it is.
        digest: SHA-256 of the signed note: names the part in logs and in the model's manifest.
        people: Pseudonyms of the common people, in the common order.
        label: What scores; None at a feature holder.
        feature: What answers; None at the label holder.
        alone: What the label holder's own columns gave alone; None where it was not kept.
    """

    manifest: PartManifest
    digest: str
    people: tuple[str, ...]
    label: LabelHalf | None
    feature: FeatureHalf | None
    alone: LabelHalf | None


class _Kind(Protocol):
    """Reads the parts of one kind of model; its functions raise ``model.invalid``."""

    def open_label(self, files: _Files) -> LabelHalf: ...

    def open_feature(self, files: _Files) -> FeatureHalf: ...

    def open_alone(self, files: _Files, folder: str) -> LabelHalf: ...


_KINDS: Final[Mapping[str, _Kind]] = {
    "trees": trees,
    "late_fusion": late_fusion,
    "scorecard": scorecard,
    "split_network": split_network,
}


def open_kept(read: Callable[[str], bytes], verifiers: Sequence[VerifierKey]) -> KeptPart:
    """Reads a part and holds each of its files against the signed note.

    Args:
        read: Content of a file of the part, by its name; raises for one that is not there.
        verifiers: Keys that the member has or had.

    Raises:
        ServingError: ``model.invalid`` if the note does not verify, a file is not the one that was signed, or
            the part has no list of people, as parts of earlier versions; ``model.unsupported`` if it is part
            of a model of a kind that is not served.
        HanseError: As ``read``.
    """
    note = read(PART_FILE)
    manifest = _opened(note, verifiers)
    files = {name: read(name) for name in manifest.files}
    if altered := [name for name, data in files.items() if sha256_hex(data) != manifest.files[name]]:
        raise ServingError("model.invalid", f"{altered[0]} of the part is not the file that was signed")
    people = decode_people(file_of(files, PEOPLE_FILE))
    if manifest.model not in _KINDS:
        raise ServingError(
            "model.unsupported", f"the part is of a {manifest.model}; served are {', '.join(_KINDS)}"
        )
    kind, digest = _KINDS[manifest.model], sha256_hex(note)
    if manifest.role == "feature_holder":
        return KeptPart(manifest, digest, people, None, kind.open_feature(files), None)
    is_alone = any(name.startswith(f"{ALONE}/") for name in files)
    alone = kind.open_alone(files, f"{ALONE}/") if is_alone else None
    return KeptPart(manifest, digest, people, kind.open_label(files), None, alone)


def _opened(note: bytes, verifiers: Sequence[VerifierKey]) -> PartManifest:
    problem: ServingError | None = None
    for verifier in verifiers:
        try:
            return open_part(note, verifier)
        except ServingError as error:
            problem = error
    raise problem or ServingError("model.invalid", "no key to verify the part with")

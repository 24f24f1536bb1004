"""Takes the manifest of a registered vertical model home, and holds this site's own part against it."""

from dataclasses import dataclass
from pathlib import Path

from hanse.client.home import MemberHome
from hanse.client.remote import CoordinatorClient
from hanse.client.vertical.parts import settle_part
from hanse.crypto import VerifierKey, sha256_hex, write_atomic
from hanse.errors import ServingError
from hanse.learning.artifact import MANIFEST_FILE
from hanse.learning.vertical.runs.leakage import LEAKAGE_FILE, check_reports, encode_reports
from hanse.learning.vertical.runs.manifest import PART_FILE, VerticalManifest, open_vertical
from hanse.policies import Identity, SignedAgreement
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, check_registration


@dataclass(frozen=True, slots=True)
class FetchedVertical:
    """A vertical model version at a member.

    Attributes:
        folder: Where its manifest is.
        part: Where this site's part is; None if it has none.
        manifest: The manifest.
        digest: SHA-256 of the signed manifest: names this version in logs.
    """

    folder: Path
    part: Path | None
    manifest: VerticalManifest
    digest: str


def fetch_vertical(
    client: CoordinatorClient, home: MemberHome, reference: str, signed: SignedAgreement
) -> FetchedVertical:
    """Fetches a manifest, checks it against the agreement and this site's part, and keeps it.

    Args:
        client: The coordinator.
        home: The member's folder.
        reference: ``name@version``.
        signed: The agreement.

    Raises:
        ServingError: ``model.invalid`` when the coordinator of the agreement did not sign it, it was made
            under another agreement, too few witnesses have seen its registration, or it names another part
            than the one that is here, or other leakage reports than are in that.
        PolicyError: ``policy.leakage`` when its training leaked more than the agreement allows.
    """
    fetched = client.model(reference)
    manifest = open_vertical(fetched.manifest, VerifierKey.decode(signed.agreement.coordinator.key))
    digest = sha256_hex(fetched.manifest)
    if manifest.agreement_digest != signed.digest or manifest.reference != reference:
        raise ServingError("model.invalid", "the model is another one, or was made under another agreement")
    if signed.agreement.vertical is None:
        raise ServingError("model.invalid", "the model is vertical, the agreement is not")
    check_reports(manifest.leakage, signed.agreement.vertical)
    check_registration(fetched.registration, fetched.proof, signed.agreement, digest)
    part = home.parts / reference
    own = manifest.parts.get(Identity.load(home.identity).name)
    if own is not None and _digest(home.parts / manifest.run) == own:
        # The node was not there when the run ended: nobody told it what its part belongs to.
        settle_part(home.parts, manifest.run, reference, digest)
    if part.is_dir() and _digest(part) != own:
        raise ServingError("model.invalid", f"the manifest names another part than the one in {part}")
    made = part / LEAKAGE_FILE
    if made.is_file() and made.read_bytes() != encode_reports(manifest.leakage):
        raise ServingError("model.invalid", f"the manifest has other leakage reports than {made}")
    folder = home.models / reference
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / MANIFEST_FILE, fetched.manifest)
    write_atomic(folder / REGISTRATION_FILE, fetched.registration)
    write_atomic(folder / PROOF_FILE, fetched.proof)
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{signed.digest}.agreement", signed.note)
    return FetchedVertical(folder, part if part.is_dir() else None, manifest, digest)


def _digest(part: Path) -> str | None:
    """Of a part as it is kept; None if it is not there, or not whole."""
    note = part / PART_FILE
    return sha256_hex(note.read_bytes()) if note.is_file() else None

"""Takes the manifest of a registered vertical model home, and holds this site's own part against it."""

from dataclasses import dataclass
from pathlib import Path

from hanse.client.home import MemberHome
from hanse.client.remote import CoordinatorClient
from hanse.crypto import VerifierKey, sha256_hex, write_atomic
from hanse.errors import ServingError
from hanse.learning.artifact import MANIFEST_FILE
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
            than the one that is here.
    """
    fetched = client.model(reference)
    manifest = open_vertical(fetched.manifest, VerifierKey.decode(signed.agreement.coordinator.key))
    digest = sha256_hex(fetched.manifest)
    if manifest.agreement_digest != signed.digest or manifest.reference != reference:
        raise ServingError("model.invalid", "the model is another one, or was made under another agreement")
    check_registration(fetched.registration, fetched.proof, signed.agreement, digest)
    part = home.parts / reference
    if part.is_dir():
        own = sha256_hex((part / PART_FILE).read_bytes())
        if manifest.parts.get(Identity.load(home.identity).name) != own:
            raise ServingError("model.invalid", f"the manifest names another part than the one in {part}")
    folder = home.models / reference
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / MANIFEST_FILE, fetched.manifest)
    write_atomic(folder / REGISTRATION_FILE, fetched.registration)
    write_atomic(folder / PROOF_FILE, fetched.proof)
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{signed.digest}.agreement", signed.note)
    return FetchedVertical(folder, part if part.is_dir() else None, manifest, digest)

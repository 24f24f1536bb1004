"""Takes a registered model version home: checked first, written whole, with its agreement beside it."""

from pathlib import Path

from hanse.client.home import MemberHome
from hanse.client.remote import CoordinatorClient
from hanse.crypto import VerifierKey, write_atomic
from hanse.errors import ServingError
from hanse.learning import LoadedModel, load_model, open_model, store_model
from hanse.policies import SignedAgreement
from hanse.policies.witnessing import PROOF_FILE, REGISTRATION_FILE, check_registration


def fetch_model(
    client: CoordinatorClient, home: MemberHome, reference: str, signed: SignedAgreement
) -> tuple[Path, LoadedModel]:
    """Fetches a model version, checks it against the agreement, and keeps both.

    Returns:
        The folder of the model version, and the model.

    Raises:
        ServingError: ``model.invalid`` when the coordinator of the agreement did not sign it, or it was made
            under another agreement, or too few witnesses have seen its registration, or it differs from the
            one that was fetched under this name before.
    """
    fetched = client.model(reference)
    verifier = VerifierKey.decode(signed.agreement.coordinator.key)
    model = open_model(fetched.manifest, fetched.weights, verifier)
    if model.manifest.agreement_digest != signed.digest or model.manifest.reference != reference:
        raise ServingError("model.invalid", "the model is another one, or was made under another agreement")
    check_registration(fetched.registration, fetched.proof, signed.agreement, model.digest)
    folder = home.models / reference
    if not folder.exists():
        store_model(folder, fetched.manifest, fetched.weights)
    elif load_model(folder, verifier).digest != model.digest:
        raise ServingError("model.invalid", f"{folder} holds another model of the same name and version")
    write_atomic(folder / REGISTRATION_FILE, fetched.registration)
    write_atomic(folder / PROOF_FILE, fetched.proof)
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{signed.digest}.agreement", signed.note)
    return folder, model

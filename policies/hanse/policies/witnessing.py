"""Whom an agreement trusts to have seen one history of the coordinator's log, and what that says of a model.

The trust policy of an agreement: its coordinator's key signs the log, its members and auditors witness it,
and a checkpoint counts when a quorum of them has co-signed it. Everything that is needed to check that is in
the signed agreement, so whoever has the agreement needs nobody to answer.

What a quorum assumes: that of any two quorums a witness that is in both is honest and has kept its memory.
What it shows: that the coordinator told these witnesses one history. Whether an entry is true, it does not
show.
"""

from typing import Final

from hanse.audit import Entry, EventType
from hanse.audit.policy_file import TrustPolicy, quorum_of
from hanse.audit.proof_file import check_proof
from hanse.crypto import VerifierKey
from hanse.errors import HanseError, PolicyError, ServingError
from hanse.policies.agreement import Agreement

REGISTRATION_FILE: Final = "registration.json"
"""In a model's folder: its entry ``model.registered`` of the shared log, exact bytes."""

PROOF_FILE: Final = "registration.tlog-proof"
"""In a model's folder: proof that the entry is in a co-signed checkpoint (C2SP tlog-proof)."""

WITHHELD_FILE: Final = "withheld.json"
"""In the folder of a model that nobody gets: the error code that says why. Its version is not given again."""


def trust_policy(agreement: Agreement) -> TrustPolicy:
    """Which checkpoints of the coordinator's log count under an agreement.

    Args:
        agreement: A valid agreement.

    Returns:
        The policy; `hanse.audit.policy_file.format_policy` writes it for other tools (C2SP tlog-policy).

    Raises:
        PolicyError: ``policy.denied`` (P28) if its quorum is 0 or more than its witnesses: none would count.
    """
    quorum = agreement.evidence.quorum
    if not 0 < quorum <= len(agreement.witnesses):
        detail = f"the agreement asks for {quorum} of {len(agreement.witnesses)} witnesses"
        raise PolicyError("policy.denied", detail, rule="P28")
    return quorum_of(VerifierKey.decode(agreement.coordinator.key), agreement.witnesses, quorum)


def check_registration(registration: bytes, proof: bytes, agreement: Agreement, manifest_digest: str) -> None:
    """Checks offline that the witnesses of an agreement have seen the registration of a model.

    Args:
        registration: The entry ``model.registered``, exact bytes.
        proof: Proof that it is in a co-signed checkpoint.
        agreement: The agreement that the model was made under.
        manifest_digest: Digest of the model's manifest.

    Raises:
        ServingError: ``model.invalid`` naming what is wrong.
    """
    try:
        entry = Entry.parse(registration)
        check_proof(proof, registration, trust_policy(agreement))
    except HanseError as error:
        detail = f"its registration is not in the co-signed log: {error.code}: {error.detail}"
        raise ServingError("model.invalid", detail) from error
    told = (entry.type, entry.agreement, entry.model_out)
    if told != (EventType.MODEL_REGISTERED, agreement.digest, manifest_digest):
        raise ServingError("model.invalid", "the registration is that of another model")

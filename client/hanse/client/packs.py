"""Rule packs at a member: who has to sign them, which are adopted, and what they come to for an agreement."""

from hanse.client.home import MemberHome
from hanse.crypto import SigningKey, VerifierKey, write_atomic
from hanse.errors import ConfigurationError
from hanse.policies import (
    Agreement,
    Identity,
    Policy,
    RulePack,
    adopted_packs,
    applicable,
    merge,
    sign_pack,
)


def make_auditor(home: MemberHome, name: str) -> VerifierKey:
    """Makes the auditor's key of a member.

    Args:
        home: The member's folder.
        name: The member's short name.

    Returns:
        The public half, which is also written beside the key.

    Raises:
        ConfigurationError: ``config.exists`` if there is one already, ``config.unwritable`` if the file
            system refuses.
        IdentityError: ``identity.bad-key`` if the name cannot be that of a key.
    """
    if home.auditor_verifier.exists():
        raise ConfigurationError("config.exists", f"{home.auditor_verifier} exists; this site has an auditor")
    key = SigningKey.generate(f"{name}-auditor")
    key.save(home.auditor_key)
    write_atomic(home.auditor_verifier, f"{key.verifier.encode()}\n".encode())
    return key.verifier


def pack_keys(home: MemberHome) -> tuple[VerifierKey, VerifierKey]:
    """Keys of those who have to sign a rule pack: the approver's and the auditor's.

    Args:
        home: The member's folder.

    Returns:
        Public keys.

    Raises:
        ConfigurationError: ``config.missing-file`` saying what to do if the site has no auditor;
            ``config.invalid`` or ``config.missing-file`` if its identity is not that of a member.
        IdentityError: ``identity.bad-key`` if the auditor's public key is not one.
    """
    approver = Identity.load(home.identity).approver_key
    if approver is None:
        raise ConfigurationError("config.invalid", f"{home.root} is no member's folder; members adopt packs")
    try:
        auditor = home.auditor_verifier.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "config.missing-file",
            f"cannot read {home.auditor_verifier}: this site has no auditor, who signs rule packs beside the "
            f"approver; make a key: hanse policy new-auditor --home {home.root}",
        ) from error
    return VerifierKey.decode(approver), VerifierKey.decode(auditor.removesuffix("\n"))


def sign_with_both(home: MemberHome, pack: RulePack) -> bytes:
    """Signs a pack with the keys of approver and auditor, where both are in the member's folder.

    Args:
        home: The member's folder.
        pack: The pack.

    Returns:
        The signed pack.

    Raises:
        ConfigurationError: ``config.missing-file`` if a key is kept elsewhere: sign there, with `hanse policy
            sign-pack`.
        IdentityError: ``identity.bad-key`` if one of them is not a key.
    """
    note = sign_pack(pack, SigningKey.load(home.approver_key))
    return sign_pack(note, SigningKey.load(home.auditor_key))


def adopted(home: MemberHome) -> tuple[RulePack, ...]:
    """The rule packs that the member has adopted.

    Args:
        home: The member's folder.

    Returns:
        The packs.

    Raises:
        ConfigurationError: As :func:`pack_keys`.
        PolicyError: As :func:`hanse.policies.adopted_packs`.
    """
    return adopted_packs(home.packs, pack_keys(home))


def policy_of(home: MemberHome, agreement: Agreement) -> Policy:
    """What applies to an agreement here: the packs that it names, and whatever else the member has adopted.

    Args:
        home: The member's folder.
        agreement: The agreement.

    Returns:
        The merged policy.

    Raises:
        ConfigurationError: As :func:`pack_keys`.
        PolicyError: ``policy.pack`` if a pack is not adopted, or in another text; as
            :func:`hanse.policies.adopted_packs`.
    """
    return merge(applicable(agreement.packs, adopted(home)))

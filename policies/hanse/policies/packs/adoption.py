"""Who has adopted a rule pack: two different people, each with a key of their own, under the same text (P31).

A site adopts packs; an agreement names the packs that apply to it by digest. Both must fit: what is not
adopted here, or was adopted in another text, does not apply, and then nothing runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hanse.crypto import (
    SigningKey,
    VerifierKey,
    sign_note,
    unverified_text,
    write_atomic,
)
from hanse.errors import ConfigurationError, HanseError, PolicyError, ProtocolError
from hanse.policies.agreement.parties import PackReference
from hanse.policies.packs.document import RulePack
from hanse.policies.texts import has_strangers, sign_again, signers_of

SIGNERS: Final = 2
ENDING: Final = ".pack"
MAX_PACK_BYTES: Final = 1 << 20
MAX_PACKS: Final = 100


def sign_pack(document: RulePack | bytes, key: SigningKey) -> bytes:
    """Signs a rule pack for one person.

    Args:
        document: The pack, or what somebody else has signed of it.
        key: Key of the person.

    Returns:
        A signed note with one more signature.

    Raises:
        PolicyError: ``policy.invalid`` if the bytes are not a rule pack, or the key has signed already.
    """
    if isinstance(document, RulePack):
        return sign_note(document.text(), key)
    read_pack(document)
    return sign_again(document, key)


def read_pack(data: bytes) -> RulePack:
    """Reads a signed pack whose signatures nobody has checked: to show it, or to sign it.

    Args:
        data: Bytes from anywhere.

    Returns:
        The pack.

    Raises:
        PolicyError: ``policy.invalid`` if it is not a signed note of a rule pack.
    """
    if len(data) > MAX_PACK_BYTES:
        raise PolicyError("policy.invalid", f"a rule pack has at most {MAX_PACK_BYTES} bytes")
    try:
        return RulePack.from_text(unverified_text(data))
    except ProtocolError as error:
        raise PolicyError("policy.invalid", f"not a signed rule pack: {error.detail}") from error


def open_pack(data: bytes, keys: Sequence[VerifierKey]) -> RulePack:
    """Opens a rule pack that everybody who has to has signed.

    Args:
        data: Bytes from anywhere.
        keys: Keys of those who have to sign: at least two, of different people.

    Returns:
        The pack.

    Raises:
        PolicyError: ``policy.unsigned`` (P31) if a signature is missing or two of the keys are one;
            ``policy.invalid`` if the pack was altered, or carries a signature of somebody else.
    """
    # By value: a key is the same person's under every name.
    if len({key.public_bytes for key in keys}) < max(SIGNERS, len(keys)):
        raise PolicyError("policy.unsigned", "a rule pack is adopted by two different people", rule="P31")
    pack = read_pack(data)
    signed = signers_of(data, keys)
    missing = ", ".join(key.name for key in keys if key not in signed)
    if missing:
        raise PolicyError(
            "policy.unsigned",
            f"rule pack {pack.source} is not signed by {missing}; have them sign it",
            rule="P31",
        )
    if has_strangers(data, pack.text(), len(keys)):
        raise PolicyError(
            "policy.invalid", f"rule pack {pack.source} carries a signature of somebody else; remove it"
        )
    return pack


def adopted_packs(folder: Path, keys: Sequence[VerifierKey]) -> tuple[RulePack, ...]:
    """The rule packs that a site has adopted.

    Args:
        folder: Where they are, one per file that ends in ``.pack``; no such folder is no packs.
        keys: Keys of those who have to have signed.

    Returns:
        The packs, sorted by identifier and version.

    Raises:
        PolicyError: As :func:`open_pack`, naming the file; also if two files hold one version of a pack.
        ConfigurationError: ``config.missing-file`` if a file cannot be read.
    """
    paths = sorted(folder.glob(f"*{ENDING}"))
    if len(paths) > MAX_PACKS:
        raise PolicyError("policy.invalid", f"{folder} holds more than {MAX_PACKS} rule packs")
    packs = [_open_file(path, keys) for path in paths]
    if len({pack.source for pack in packs}) != len(packs):
        raise PolicyError("policy.invalid", f"{folder} holds a version of a rule pack twice; remove one")
    return tuple(sorted(packs, key=lambda pack: (pack.id, pack.version)))


def adopt_pack(folder: Path, data: bytes, keys: Sequence[VerifierKey]) -> Path:
    """Keeps a signed pack where :func:`adopted_packs` finds it.

    Versions are kept beside each other, so that agreements that name the one before can go on.

    Args:
        folder: The folder; made if it is not there.
        data: The signed pack.
        keys: Keys of those who have to have signed.

    Returns:
        The file.

    Raises:
        PolicyError: As :func:`open_pack`; ``policy.invalid`` if the version was adopted in another text.
        ConfigurationError: ``config.unwritable`` if the file system refuses.
    """
    pack = open_pack(data, keys)
    for known in adopted_packs(folder, keys):
        if known.source == pack.source and known.digest != pack.digest:
            raise PolicyError(
                "policy.invalid",
                f"{pack.source} is adopted with another text; raise the version of the new one",
            )
    path = folder / f"{pack.id}-{pack.version}{ENDING}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError("config.unwritable", f"cannot make {folder}: {error.strerror}") from error
    write_atomic(path, data)
    return path


def resolve(references: Sequence[PackReference], available: Sequence[RulePack]) -> tuple[RulePack, ...]:
    """Finds the packs that an agreement names among those that are adopted here.

    Args:
        references: What the agreement names, at least one.
        available: What is adopted here.

    Returns:
        The packs, in the order of the references.

    Raises:
        PolicyError: ``policy.pack`` (P31) naming the pack that is not adopted here, or in another text, and
            what to do.
    """
    if not references:
        raise PolicyError("policy.pack", "the agreement names no rule pack; name at least one", rule="P31")
    known = {pack.source: pack for pack in available}
    return tuple(_resolve(named, known.get(f"{named.id}/{named.version}")) for named in references)


def applicable(references: Sequence[PackReference], adopted: Sequence[RulePack]) -> tuple[RulePack, ...]:
    """What applies at a site to an agreement: what the agreement names, and whatever else the site adopted.

    A pack of the site's own needs nobody's consent, because it can only restrict.

    Args:
        references: What the agreement names, at least one.
        adopted: What is adopted here.

    Returns:
        The packs that the agreement names; of every other, the newest version.

    Raises:
        PolicyError: As :func:`resolve`.
    """
    named = resolve(references, adopted)
    newest = {pack.id: pack for pack in sorted(adopted, key=lambda pack: pack.version)}
    return (*named, *(pack for name, pack in newest.items() if name not in {own.id for own in named}))


def _resolve(reference: PackReference, pack: RulePack | None) -> RulePack:
    named = f"rule pack {reference.id}/{reference.version}"
    if pack is None:
        raise PolicyError(
            "policy.pack",
            f"{named} is not adopted here; read it, then: hanse policy adopt {reference.id}",
            rule="P31",
        )
    if pack.digest != reference.digest:
        raise PolicyError(
            "policy.pack",
            f"{named} was adopted here in another text than the agreement names; amend the agreement, or "
            "adopt that text under a new version",
            rule="P31",
        )
    return pack


def _open_file(path: Path, keys: Sequence[VerifierKey]) -> RulePack:
    try:
        with path.open("rb") as file:
            return open_pack(file.read(MAX_PACK_BYTES + 1), keys)
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error
    except HanseError as error:
        raise PolicyError(error.code, f"{path}: {error.detail}", rule=error.rule) from error

"""Gives this site's witness a new key, announced by the old one.

The chain of keys is ``keys/witness-keys.json`` (:mod:`hanse.audit.witness_keys`); it is public. The old
private key is gone afterwards. Interrupted anywhere, the same command goes on where it stopped: the new key
is on the disk before it is announced, and takes the old one's place last. A memory that was lost begins anew
with the new key, never with the old one.
"""

from datetime import datetime
from pathlib import Path

from hanse.audit.witness_keys import WitnessKeys, announce_key
from hanse.audit.witness_state import WitnessState
from hanse.client.home import MemberHome
from hanse.client.setup import new_witness_key
from hanse.crypto import write_atomic
from hanse.crypto.cosigning import CosignerKey
from hanse.crypto.files import sync_folder
from hanse.errors import ConfigurationError
from hanse.policies import Identity


def chain_file(home: MemberHome) -> Path:
    """Where the chain of keys is, once there are two."""
    return home.witness_key.with_name("witness-keys.json")


def rotate_witness_key(home: MemberHome, now: datetime) -> WitnessKeys:
    """Replaces the key of this site's witness.

    Args:
        home: The site's folder. No node or witness may be running in it.
        now: The current time, aware.

    Returns:
        The chain with the new key, also written to :func:`chain_file`; ``identity.json`` names the new key.

    Raises:
        ConfigurationError: ``config.missing-file``, ``config.insecure-file`` or ``config.unwritable``.
        IdentityError: ``identity.bad-key`` if keys and chain do not belong together.
        AuditError: ``audit.unavailable`` if the witness's memory cannot be used; ``audit.witness-refused`` if
            the clock is behind the last cosignature, or the old key announced another one before.
    """
    old, following = CosignerKey.load(home.witness_key), home.witness_key.with_name("witness-next.key")
    if not following.exists():
        new_witness_key(Identity.load(home.identity).name).save(following)
    new = CosignerKey.load(following)
    chain = read_chain(chain_file(home)) if chain_file(home).exists() else WitnessKeys.begin(old.verifier)
    if chain.keys[-1] != new.verifier:
        chain = announce_key(_memory(home), chain, old, new, now)
        write_atomic(chain_file(home), chain.encode())
    identity = Identity.load(home.identity)
    identity.model_copy(update={"witness_key": new.verifier.encode()}).save(home.identity)
    try:
        following.replace(home.witness_key)
        sync_folder(home.witness_key.parent)
        if not home.witness.exists():
            with _memory(home).turn(new.name, new.verifier.key_id):
                pass  # a writer that closes leaves nothing in SQLite's files beside the one that is renamed
            _new_memory(home).replace(home.witness)
            sync_folder(home.witness.parent)
    except OSError as error:
        detail = f"cannot write {home.witness_key}: {error.strerror}"
        raise ConfigurationError("config.unwritable", detail) from error
    return chain


def _memory(home: MemberHome) -> WitnessState:
    """The witness's memory; if it was lost, one that gets its name only when the old key is gone."""
    if home.witness.exists():
        return WitnessState.open(home.witness)
    making = _new_memory(home)
    return WitnessState.open(making) if making.exists() else WitnessState.create(making)


def _new_memory(home: MemberHome) -> Path:
    return home.witness.with_name("witness-new.db")


def read_chain(path: Path) -> WitnessKeys:
    """Reads a chain of keys.

    Args:
        path: The file.

    Returns:
        The chain, checked.

    Raises:
        ConfigurationError: ``config.missing-file`` if it cannot be read.
        ProtocolError: ``protocol.malformed`` if it is no such document.
        IdentityError: ``identity.bad-key`` or ``identity.bad-signature`` if the keys do not follow.
    """
    try:
        return WitnessKeys.parse(path.read_bytes())
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error

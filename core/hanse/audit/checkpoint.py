"""Checkpoints that are signed: a note whose text :mod:`hanse.crypto.checkpoint` writes and reads."""

from hanse.crypto import SigningKey, VerifierKey, open_note, sign_note
from hanse.crypto.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint

__all__ = ["Checkpoint", "format_checkpoint", "open_checkpoint", "parse_checkpoint", "sign_checkpoint"]


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """Signs a checkpoint.

    Args:
        checkpoint: What the log commits to.
        key: The log's key.

    Returns:
        A signed note.

    Raises:
        ProtocolError: ``protocol.malformed`` if the checkpoint is not valid.
    """
    return sign_note(format_checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root), key)


def open_checkpoint(note: bytes, *verifiers: VerifierKey) -> Checkpoint:
    """Checks the log's signature on a checkpoint, and reads it.

    Args:
        note: A signed note from anywhere; signatures by others are ignored.
        *verifiers: The log's key, or those that it has had.

    Returns:
        The checkpoint.

    Raises:
        IdentityError: ``identity.bad-signature`` or ``identity.unknown-signer`` if none of them signed it.
        ProtocolError: ``protocol.malformed`` if it is not a checkpoint.
    """
    return parse_checkpoint(open_note(note, *verifiers).text)

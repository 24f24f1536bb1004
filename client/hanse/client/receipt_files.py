"""The file that a subject takes home: a receipt, and the secret that goes with it.

One JSON object: ``receipt`` is the signed note, ``receipt_secret`` the secret as 64 hex digits. A subject who
keeps the secret apart may remove the second field; the secret alone, as 64 hex digits, is a file as well.
"""

import json
import re
from pathlib import Path
from typing import Final, NamedTuple

from hanse.crypto import write_atomic
from hanse.errors import ConfigurationError, PolicyError

_MAX_FILE_BYTES: Final = 1 << 20
_SECRET: Final = re.compile("[0-9a-f]{64}")


class ReceiptFile(NamedTuple):
    """What is in the file; nothing of it is checked.

    Attributes:
        note: The signed receipt.
        secret: The secret; None if it is kept apart.
    """

    note: bytes
    secret: bytes | None


def write_receipt(path: Path, note: bytes, secret: bytes) -> None:
    """Writes a receipt file that its owner alone can read.

    Raises:
        ConfigurationError: ``config.exists`` if there is such a file, ``config.unwritable`` if it cannot be
            written.
    """
    document = {"receipt": note.decode(), "receipt_secret": secret.hex()}
    data = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, data.encode(), mode=0o600, overwrite=False)


def read_receipt(path: Path) -> ReceiptFile:
    """Reads a receipt file.

    Raises:
        ConfigurationError: ``config.missing-file`` if it cannot be read.
        PolicyError: ``policy.invalid`` if it is none.
    """
    try:
        document = json.loads(_read(path))
        note, secret = document["receipt"], document.get("receipt_secret")
        return ReceiptFile(note.encode(), None if secret is None else _secret(secret))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PolicyError("policy.invalid", f"{path} is not a receipt file") from error


def read_subject_secret(path: Path) -> bytes:
    """Reads a secret that is kept apart: 64 hex digits, or a receipt file that has it.

    Raises:
        ConfigurationError: ``config.missing-file`` if it cannot be read.
        PolicyError: ``policy.invalid`` if it is none.
    """
    text = _read(path).strip()
    try:
        if text.startswith(b"{"):
            secret = read_receipt(path).secret
            if secret is not None:
                return secret
        return _secret(text.decode())
    except ValueError as error:
        raise PolicyError(
            "policy.invalid", f"{path} is not the secret of a receipt: 64 hex digits"
        ) from error


def _secret(text: str) -> bytes:
    if _SECRET.fullmatch(text) is None:
        raise ValueError("not 64 hex digits")
    return bytes.fromhex(text)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigurationError("config.missing-file", f"cannot read {path}: {error.strerror}") from error

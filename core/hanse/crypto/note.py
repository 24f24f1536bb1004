"""Signed notes (https://c2sp.org/signed-note): a text and, below an empty line, one line per signature.

The form is the one of golang.org/x/mod/sumdb/note::

    text, which ends in a newline

    — <key name> <base64(key id || signature)>

Here only Ed25519 (type 0x01) is known; :mod:`hanse.crypto.cosigning` knows the types of witnesses. A
signature by an unknown key is ignored; a *bad* signature by a known key refuses the whole note; so does a
second one by the same key. There is exactly one byte string for a text and a list of signatures, so that a
note with any byte changed is refused or has lost the signature.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

from hanse.crypto.keys import (
    KEY_ID_BYTES,
    SigningKey,
    VerifierKey,
    check_name,
    decode_base64,
    encode_base64,
)
from hanse.errors import HanseError, IdentityError, ProtocolError

MAX_NOTE_BYTES: Final = 4 << 20
MAX_SIGNATURES: Final = 100  # as in the Go implementation; the specification asks for at least 16
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH: Final = "\u2014 "


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note with at least one valid signature by a key that the caller knows.

    Attributes:
        text: What was signed, with its final newline.
        keys: The caller's keys that signed it, in the order of the note. Decide by key, not by name, where
            the keys come from a document that others wrote: two keys may carry the same name.
    """

    text: str
    keys: tuple[VerifierKey, ...]

    @property
    def signers(self) -> tuple[str, ...]:
        """Names of :attr:`keys`."""
        return tuple(key.name for key in self.keys)


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One line of a note. Nothing about it is known before the signature is checked.

    Attributes:
        name: Name of the key that it names.
        key_id: Id of that key, four bytes.
        signature: The signature, at least one byte.
    """

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> str:
        """The line as it stands in a note, with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}\n"

    @classmethod
    def decode(cls, line: str) -> Self:
        """Reads what :meth:`encode` wrote.

        Args:
            line: Text from anywhere, with its newline.

        Returns:
            The line.

        Raises:
            ProtocolError: ``protocol.malformed`` for any other text.
        """
        name, space, encoded = line.removeprefix(_DASH).removesuffix("\n").partition(" ")
        try:
            check_name(name)
            data = decode_base64(encoded)
        except (ValueError, HanseError) as error:
            raise ProtocolError("protocol.malformed", "a signature line has a name and base64") from error
        if not (line.startswith(_DASH) and line.endswith("\n") and space) or len(data) <= KEY_ID_BYTES:
            raise ProtocolError(
                "protocol.malformed", "a signature line starts with a dash and carries a signature"
            )
        return cls(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


class NamedKey(Protocol):
    """What a signature line can name."""

    @property
    def name(self) -> str:
        """Who holds the key."""
        ...

    @functools.cached_property
    def key_id_bytes(self) -> bytes:
        """The four bytes that name it."""
        ...


_Key = TypeVar("_Key", bound=NamedKey)


def sign_note(text: str, *keys: SigningKey) -> bytes:
    """Makes a signed note.

    Args:
        text: Text that ends in a newline and has no other control character.
        *keys: Who signs, at least one, each once.

    Returns:
        The note.

    Raises:
        ProtocolError: ``protocol.malformed`` if the text cannot be signed, or nobody signs.
    """
    _check_text(text)
    if not keys or len({key.verifier for key in keys}) != len(keys):
        raise ProtocolError("protocol.malformed", "a note is signed by at least one key, and once by each")
    return f"{text}\n{''.join(_sign_line(text, key) for key in keys)}".encode()


def add_signature(note: bytes, key: SigningKey) -> bytes:
    """Signs the text of a note that others signed; their signatures stay and are not checked here.

    Args:
        note: A signed note. The caller has read its text and agrees with it.
        key: Who signs.

    Returns:
        The note with one more line.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not a note, or has a line of this key already.
    """
    text, lines = split_note(note)
    if any(_made_by(line, key.verifier) for line in lines):
        raise ProtocolError("protocol.malformed", f"{key.name} has signed already")
    return note + _sign_line(text, key).encode()


def open_note(data: bytes, *verifiers: VerifierKey) -> OpenedNote:
    """Checks a note.

    Args:
        data: Bytes from anywhere.
        *verifiers: The keys that count. All others are ignored.

    Returns:
        The text and who of ``verifiers`` signed it.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not a note in its only valid form.
        IdentityError: ``identity.bad-signature`` if a signature by a known key is wrong or repeated,
            ``identity.unknown-signer`` if there is none by a known key, ``identity.bad-key`` if two different
            verifiers cannot be told apart.
    """
    known = by_name_and_id(verifiers)
    text, lines = split_note(data)
    keys: list[VerifierKey] = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if key in keys:
            raise IdentityError("identity.bad-signature", f"{key.name} signed the note twice")
        key.verify_note_text(text, line.signature)
        keys.append(key)
    if not keys:
        raise IdentityError("identity.unknown-signer", "no signature by a known key")
    return OpenedNote(text, tuple(keys))


def keep_signatures(data: bytes, *verifiers: VerifierKey) -> bytes:
    """A note with the signatures of known keys alone. Anybody can add lines of others to a note.

    Args:
        data: Bytes from anywhere.
        *verifiers: The keys that count.

    Returns:
        The note, of which every signature was checked.

    Raises:
        ProtocolError: As :func:`open_note`.
        IdentityError: As :func:`open_note`.
    """
    opened = open_note(data, *verifiers)
    kept = [line for line in split_note(data)[1] if any(_made_by(line, key) for key in opened.keys)]
    return f"{opened.text}\n{''.join(line.encode() for line in kept)}".encode()


def split_note(data: bytes) -> tuple[str, tuple[SignatureLine, ...]]:
    """Takes a note apart and checks its form, but no signature: for whoever checks them next.

    Args:
        data: Bytes from anywhere.

    Returns:
        The text, with its final newline, and the signature lines, at least one.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not a note in its only valid form.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise ProtocolError("protocol.malformed", f"a note has at most {MAX_NOTE_BYTES} bytes")
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("protocol.malformed", "a note is UTF-8") from error
    text, empty_line, rest = decoded.rpartition("\n\n")
    if not empty_line or not rest.endswith("\n"):
        raise ProtocolError("protocol.malformed", "a note is a text, an empty line and signature lines")
    text += "\n"
    _check_text(text)
    lines = rest[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ProtocolError("protocol.malformed", f"a note has at most {MAX_SIGNATURES} signatures")
    return text, tuple(SignatureLine.decode(f"{line}\n") for line in lines)


def add_lines(note: bytes, *lines: str) -> bytes:
    """Adds signature lines to a note, of which no signature is checked here.

    Args:
        note: A signed note.
        *lines: Signature lines from anywhere, each with its newline. One that the note has is not repeated.

    Returns:
        The note with these lines.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not a note or not a line, or if the note has another
            line of the same key.
    """
    _, signed = split_note(note)
    for line in map(SignatureLine.decode, lines):
        if line in signed:
            continue
        if any((known.name, known.key_id) == (line.name, line.key_id) for known in signed):
            raise ProtocolError("protocol.malformed", f"{line.name} has signed already")
        note, signed = note + line.encode().encode(), (*signed, line)
    return note


def by_name_and_id(verifiers: Iterable[_Key]) -> dict[tuple[str, bytes], _Key]:
    """Index of the known keys by what a signature line says of them.

    Args:
        verifiers: The keys.

    Returns:
        The keys by name and key id.

    Raises:
        IdentityError: ``identity.bad-key`` if two different ones have both in common, which would make a
            signature ambiguous.
    """
    known: dict[tuple[str, bytes], _Key] = {}
    for key in verifiers:
        if known.setdefault((key.name, key.key_id_bytes), key) != key:
            named = f"{key.name}+{key.key_id_bytes.hex()}"
            raise IdentityError("identity.bad-key", f"two keys are called {named}")
    return known


def unverified_text(data: bytes) -> str:
    """The text of a note, which anybody may have written: use it to find the keys to open the note with.

    Args:
        data: Bytes from anywhere.

    Returns:
        The text. Nothing about it is known before :func:`open_note`.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is not a note.
    """
    return split_note(data)[0]


def _sign_line(text: str, key: SigningKey) -> str:
    """One signature line, with its newline."""
    return SignatureLine(key.name, key.verifier.key_id_bytes, key.sign_note_text(text)).encode()


def _made_by(line: SignatureLine, key: NamedKey) -> bool:
    """Whether the line names this key; says nothing about its signature."""
    return (line.name, line.key_id) == (key.name, key.key_id_bytes)


def _check_text(text: str) -> None:
    """Checks a text before it is signed or returned."""
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ProtocolError(
            "protocol.malformed", "a note's text ends in a newline, its only control character"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError("protocol.malformed", "a note's text is valid Unicode") from error

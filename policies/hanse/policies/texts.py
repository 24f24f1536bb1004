"""Documents that people sign: one text for one document, and what a note over such a text must satisfy.

The text is a first line that says what it is, then canonical JSON, then a newline. Nothing else that would be
read as an equal document is accepted, so that a digest names a document and not a spelling of it.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import ValidationError

from hanse.crypto import (
    SigningKey,
    VerifierKey,
    add_signature,
    canonical_json,
    open_note,
    parse_canonical_json,
    sha256_hex,
)
from hanse.errors import IdentityError, PolicyError, ProtocolError
from hanse.policies.documents import to_yaml, yaml_to_json
from hanse.policies.fields import Document, problems


class SignedText(Document):
    """Base of all documents that are signed."""

    header: ClassVar[str]
    """First line of the text, with its end."""
    called: ClassVar[str]
    """What the document is, for messages, with its article: ``an agreement``."""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads the text that is signed, and no other spelling of the same document.

        Args:
            text: Text from anywhere.

        Returns:
            The document, with ``document.text() == text``.

        Raises:
            PolicyError: ``policy.invalid`` for every other text.
        """
        if not text.startswith(cls.header) or not text.endswith("\n"):
            raise PolicyError(
                "policy.invalid", f"not {cls.called}: its first line is not {cls.header.strip()!r}"
            )
        body = text.removeprefix(cls.header).removesuffix("\n").encode(errors="replace")
        try:
            parse_canonical_json(body)
        except ProtocolError as error:
            raise cls._other_spelling() from error
        document = cls._from_json(body)
        # Equal values in another spelling (1 for 1.0, a time with an offset) are another text: refused.
        if document.text() != text:
            raise cls._other_spelling()
        return document

    def text(self) -> str:
        """The text that is signed: a first line, then canonical JSON, then a newline."""
        return f"{self.header}{canonical_json(self.model_dump(mode='json')).decode('ascii')}\n"

    @classmethod
    def _other_spelling(cls) -> PolicyError:
        what = cls.called.partition(" ")[2]
        return PolicyError("policy.invalid", f"the {what} is not in its canonical form")

    @classmethod
    def _from_json(cls, data: bytes) -> Self:
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise PolicyError("policy.invalid", "; ".join(problems(error))) from error


class WrittenDocument(SignedText):
    """Base of those that people write, as YAML, and that others name by their digest."""

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Reads a document as people write it.

        Args:
            text: YAML (see :mod:`hanse.policies.documents`).

        Returns:
            The document.

        Raises:
            PolicyError: ``policy.invalid``; its detail names each field and what to do.
        """
        return cls._from_json(yaml_to_json(text))

    def to_yaml(self) -> str:
        """Writes the document as YAML that :meth:`from_yaml` reads as an equal one."""
        return to_yaml(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`text`, 64 hex digits: what others call exactly this document."""
        return sha256_hex(self.text().encode("ascii"))


def sign_again(note: bytes, key: SigningKey) -> bytes:
    """Adds a signature to a note.

    Args:
        note: What others have signed.
        key: Key of who signs next.

    Returns:
        The note with one more signature.

    Raises:
        PolicyError: ``policy.invalid`` if it is no note, or the key has signed it already.
    """
    try:
        return add_signature(note, key)
    except ProtocolError as error:
        raise PolicyError("policy.invalid", f"cannot add a signature: {error.detail}") from error


def signers_of(note: bytes, keys: Sequence[VerifierKey], rule: str | None = None) -> tuple[VerifierKey, ...]:
    """Those of some keys that have signed a note.

    Args:
        note: A note from anywhere.
        keys: Whose signatures count.
        rule: Rule that a wrong signature breaks.

    Returns:
        Keys; none if only strangers have signed.

    Raises:
        PolicyError: ``policy.invalid`` if a signature of one of the keys is wrong.
    """
    try:
        return open_note(note, *keys).keys
    except IdentityError as error:
        if error.code == "identity.unknown-signer":
            return ()
        raise PolicyError("policy.invalid", f"a signature is wrong: {error.detail}", rule=rule) from error


def has_strangers(note: bytes, text: str, signatures: int) -> bool:
    """Whether a note carries other lines than so many signatures under its text.

    A stranger's line says nothing, but would let one document have many byte strings.
    """
    return note.count(b"\n", len(text)) != 1 + signatures

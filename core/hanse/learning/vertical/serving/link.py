"""Where a feature holder answers its label holder, and by which certificate it is known there.

A signed note, by the feature holder's node key, which the agreement names: a first line
``hanse part link v1`` and a :class:`PartLink` as canonical JSON. It may be handed over by any channel; there
is nothing secret in it.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field, ValidationError

from hanse.crypto import SigningKey, VerifierKey, canonical_json, open_note, sign_note
from hanse.errors import HanseError, IdentityError
from hanse.policies.fields import Document, Name

LINK_NAME: Final = "part.hanse"
"""The name in a feature holder's certificate; where it is reached is in the link, and may change."""

_HEADER: Final = "hanse part link v1"
_LINES: Final = 3  # the last one is empty


class PartLink(Document):
    """See the module docstring.

    Attributes:
        member: The feature holder.
        address: ``host:port`` at which it answers.
        certificate: PEM of its certificate, self-signed; nothing that it has signed is accepted.
    """

    member: Name
    address: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$", max_length=300)]
    certificate: Annotated[str, Field(min_length=1, max_length=8192)]


def sign_link(link: PartLink, key: SigningKey) -> bytes:
    """The link's note."""
    return sign_note(_text(link), key)


def open_link(note: bytes, member: str, verifiers: Sequence[VerifierKey]) -> PartLink:
    """Reads a link.

    Args:
        note: Bytes from anywhere.
        member: Whose it must be.
        verifiers: Keys that this member is known by.

    Raises:
        IdentityError: ``identity.bad-signature`` or ``identity.unknown-signer`` if none of the keys has
            signed it, if it is another member's, or no link.
    """
    problem: HanseError = IdentityError("identity.unknown-signer", f"no key of {member} is known here")
    for verifier in verifiers:
        try:
            return _parse(open_note(note, verifier).text, member)
        except HanseError as error:
            problem = error
    raise IdentityError(
        "identity.bad-signature" if problem.code.startswith("identity.bad") else problem.code,
        f"the link of {member}: {problem.detail}",
    )


def _parse(text: str, member: str) -> PartLink:
    lines = text.split("\n")
    if len(lines) != _LINES or lines[0] != _HEADER:
        raise IdentityError("identity.unknown-signer", "the note is no link")
    try:
        link = PartLink.model_validate_json(lines[1].encode(errors="replace"))
    except ValidationError as error:
        raise IdentityError("identity.unknown-signer", "the link is not valid") from error
    if link.member != member or _text(link) != text:
        raise IdentityError("identity.unknown-signer", "the link is another member's")
    return link


def _text(link: PartLink) -> str:
    return f"{_HEADER}\n{canonical_json(link.model_dump(mode='json')).decode('ascii')}\n"

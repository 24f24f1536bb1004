"""What a member states of one step of a run, signed, before it sends the step's result.

A statement is an event ``round.submitted``. The member signs its canonical JSON without the field
``statement_signature``, with its node key in the context :data:`CONTEXT`, and adds the signature as that
field. The shared log keeps exactly these fields, so whoever reads an entry can check that the member itself
stated them: the coordinator can leave a statement out, which the witnesses' proofs and the member's own log
show, but it cannot make one up.

What a statement binds is what the member says. That the rows behind the root are those that were read is
shown by nothing in it; see P32 in docs/explanation-architecture.md.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from hanse.audit.checkpoint import Checkpoint, open_checkpoint
from hanse.audit.event import Event, EventType
from hanse.crypto import SigningKey, VerifierKey, canonical_json
from hanse.crypto.keys import decode_base64, encode_base64
from hanse.errors import IdentityError, ProtocolError

CONTEXT: Final = "round-statement/1"
STEPS: Final = frozenset({"prepared", "trained", "evaluated"})
"""Values of ``detail``: which step of the run is meant."""

_MAX_BYTES: Final = 1 << 15  # so that the entry that is made of it has room for whatever the log adds
_SIGNATURE: Final = "statement_signature"
_REQUIRED: Final = frozenset(
    {"agreement", "run", "purpose", "peer", "detail", "member_checkpoint", _SIGNATURE}
)
_ALLOWED: Final = frozenset(
    {
        *("type", "round", "counts", "subject_set_root", "subject_set_size", "subject_epoch", "rows_used"),
        "aligned_set_root",
        *_REQUIRED,
    }
)


def sign_statement(event: Event, key: SigningKey) -> bytes:
    """Signs a statement.

    Args:
        event: An event ``round.submitted`` without signature.
        key: The member's node key.

    Returns:
        The statement, canonical JSON.
    """
    signature = encode_base64(key.sign(CONTEXT, _signed_bytes(event)))
    signed = Event.model_validate({**_fields(event), _SIGNATURE: signature})
    return canonical_json(signed.model_dump(mode="json", exclude_none=True))


def read_statement(data: bytes) -> Event:
    """Reads a statement whose signature is yet to be checked.

    Args:
        data: Bytes from anywhere, at most 32 KiB.

    Returns:
        The event.

    Raises:
        ProtocolError: ``protocol.malformed`` for anything but a whole statement in its canonical form.
    """
    if len(data) > _MAX_BYTES:
        raise ProtocolError("protocol.malformed", f"a statement has at most {_MAX_BYTES} bytes")
    try:
        event = Event.model_validate_json(data)
    except ValidationError as error:
        raise ProtocolError("protocol.malformed", "not the statement of a round") from error
    if canonical_json(event.model_dump(mode="json", exclude_none=True)) != data:
        raise ProtocolError("protocol.malformed", "a statement that is not in canonical form")
    stated = frozenset(_fields(event))
    if event.type is not EventType.ROUND_SUBMITTED or not _REQUIRED <= stated <= _ALLOWED:
        raise ProtocolError("protocol.malformed", "a statement with other fields than statements have")
    if event.detail not in STEPS:
        raise ProtocolError("protocol.malformed", "a statement about no step of a run")
    return event


def check_statement(event: Event, *verifiers: VerifierKey) -> Checkpoint:
    """Checks that a member signed a statement, as submitted or as an entry of the shared log.

    Args:
        event: The event, or the entry that was made of it.
        *verifiers: The member's node key, from the agreement, or the keys that it has had.

    Returns:
        The member's own log at that moment.

    Raises:
        IdentityError: ``identity.bad-signature`` or ``identity.unknown-signer`` if statement or checkpoint
            are not both signed by the same one of them.
        ProtocolError: ``protocol.malformed`` if there is no signature or no checkpoint.
    """
    if event.statement_signature is None or event.member_checkpoint is None:
        raise ProtocolError("protocol.malformed", "not the statement of a round")
    try:
        signature = decode_base64(event.statement_signature)
    except ValueError as error:
        raise IdentityError("identity.bad-signature", "the signature of a statement is not base64") from error
    signer = _signer(verifiers, _signed_bytes(event), signature)
    checkpoint = open_checkpoint(event.member_checkpoint.encode(), signer)
    if checkpoint.origin != signer.name:
        raise ProtocolError("protocol.malformed", "the stated checkpoint is that of another log")
    return checkpoint


def _signer(verifiers: Sequence[VerifierKey], body: bytes, signature: bytes) -> VerifierKey:
    """Which key made a signature; it names none itself."""
    for verifier in verifiers[:-1]:
        with suppress(IdentityError):
            verifier.verify(CONTEXT, body, signature)
            return verifier
    if not verifiers:
        raise IdentityError("identity.unknown-signer", "no key of the member is known")
    verifiers[-1].verify(CONTEXT, body, signature)
    return verifiers[-1]


def _fields(event: Event) -> dict[str, object]:
    """What an event states, without what an entry adds to it and what does not apply."""
    empty = {name: field.get_default(call_default_factory=True) for name, field in Event.model_fields.items()}
    values = {name: getattr(event, name) for name in Event.model_fields}
    return {name: value for name, value in values.items() if value != empty[name]}


def _signed_bytes(event: Event) -> bytes:
    body = Event.model_validate({**_fields(event), _SIGNATURE: None})
    return canonical_json(body.model_dump(mode="json", exclude_none=True))

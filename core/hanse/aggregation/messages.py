"""Reading and signing the messages of ``hanse/api/v1/aggregation.proto``. Reading is total.

Signatures cover our own canonical bytes, never a serialisation that another library might write differently.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from hanse.aggregation.channels import KEY_BYTES
from hanse.aggregation.terms import SumTerms, digest
from hanse.api.v1 import aggregation_pb2 as pb
from hanse.crypto import VerifierKey, canonical_json
from hanse.errors import IdentityError, ProtocolError

DIGEST_BYTES: Final = 32
KEYS_CONTEXT: Final = "secure-sum-keys/1"

MessageT = TypeVar("MessageT", bound=Message)


def read(kind: type[MessageT], data: bytes, sender: str) -> MessageT:
    """Parses a message.

    Args:
        kind: Which message it must be.
        data: Bytes from anywhere.
        sender: From whom, for the error.

    Raises:
        ProtocolError: ``protocol.malformed`` if it does not parse.
    """
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError("protocol.malformed", f"{sender}: bytes that are no {kind.__name__}") from error
    return message


def advertisement_body(advertisement: pb.SumAdvertisement) -> bytes:
    """The bytes that a member signs of its keys."""
    return canonical_json(
        {
            "channel_key": advertisement.channel_key.hex(),
            "mask_keys": hashlib.sha256(advertisement.mask_keys).hexdigest(),
            "member": advertisement.member,
            "seed_digests": hashlib.sha256(advertisement.seed_digests).hexdigest(),
            "terms": advertisement.terms.hex(),
        }
    )


def check_advertisement(advertisement: pb.SumAdvertisement, terms: SumTerms) -> None:
    """Checks that a member of the epoch has signed these keys for these terms.

    Args:
        advertisement: From anywhere.
        terms: Of the epoch.

    Raises:
        IdentityError: ``identity.unknown-signer`` for nobody of the roster, ``identity.bad-signature`` if the
            member has not signed.
        ProtocolError: ``sum.foreign`` for other terms, ``protocol.malformed`` for keys of another length.
    """
    member = advertisement.member
    if member not in terms.roster:
        raise IdentityError("identity.unknown-signer", "keys of somebody who is not in the roster")
    if advertisement.terms != terms.digest:
        raise ProtocolError("sum.foreign", f"{member}: keys for other terms")
    lengths = [len(part) for part in (advertisement.mask_keys, advertisement.seed_digests)]
    if len(advertisement.channel_key) != KEY_BYTES or lengths != [KEY_BYTES * terms.sums] * 2:
        raise ProtocolError("protocol.malformed", f"{member}: keys of another length or number")
    _verify(
        terms.roster[member],
        member,
        KEYS_CONTEXT,
        advertisement_body(advertisement),
        advertisement.signature,
    )


def keys_digest(terms: SumTerms, advertisements: Sequence[pb.SumAdvertisement]) -> bytes:
    """Digest of the terms and of all keys that a member has been shown."""
    keys = {one.member: hashlib.sha256(advertisement_body(one)).hexdigest() for one in advertisements}
    return digest({"keys": keys, "terms": terms.digest.hex()})


def session_digest(keys: bytes, sharers: Sequence[str]) -> bytes:
    """Digest of the epoch as its members saw it: :func:`keys_digest`, and who has shared secrets."""
    return digest({"keys": keys.hex(), "sharers": sorted(sharers)})


def survivors_body(session: bytes, number: int, question: bytes, survivors: Sequence[str]) -> bytes:
    """The bytes of a list of survivors, which members confirm (:mod:`hanse.aggregation.codes`)."""
    return canonical_json(
        {
            "question": question.hex(),
            "session": session.hex(),
            "sum": number,
            "survivors": list(survivors),
        }
    )


def _verify(key: VerifierKey, member: str, context: str, body: bytes, signature: bytes) -> None:
    try:
        key.verify(context, body, signature)
    except IdentityError as error:
        raise IdentityError(error.code, f"{member}: {error.detail}") from error

r"""The keys that a witness had, one after the other: each new one is announced by the one before.

The keys of a witness are a small log of their own, in the formats of every other log. Its origin is
``<name of the witness>/keys``, its leaves are the verifier keys as text, oldest first. An announcement is the
checkpoint of that log with the new key as its last leaf, cosigned by the old key (which vouches for the new
one) and by the new key (which shows that somebody holds it)::

    member.example/witness/keys
    2
    <root over the two keys>

    — member.example/witness <cosignature by the first key>
    — member.example/witness <cosignature by the second key>

The chain is one document, canonical JSON: ``form``, ``keys`` and ``announcements``, one fewer than keys. Who
pinned any key of it may trust all of them: the later ones follow from it, and it vouched for the earlier ones
when it cosigned its own announcement, so that what they cosigned stays evidence. In a trust policy such a
witness is a group of which any one key is enough, :meth:`WitnessKeys.policy_lines`.

Limits: a key that was stolen can announce a thief's; a key that was lost can announce nothing. In both cases
the members agree on a new pinned key. What an old key cosigned after its successor was announced does not
count for :meth:`WitnessKeys.cosigned_by`, but whoever holds an old key can state an earlier time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from hanse.audit.checkpoint import format_checkpoint, parse_checkpoint
from hanse.audit.hashes import TreeHashes, consistency_proof
from hanse.audit.tree import root_hash
from hanse.audit.witness_rules import Submission, judge
from hanse.audit.witness_state import WitnessState
from hanse.crypto import canonical_json, unverified_text
from hanse.crypto.cosigning import Cosignature, CosignerKey, CosignerVerifier, read_cosignatures
from hanse.errors import IdentityError, ProtocolError

FORM: Final = "hanse-witness-keys/1"
MAX_KEYS: Final = 100


class _Document(BaseModel):
    """The form of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    form: Literal["hanse-witness-keys/1"] = FORM
    keys: tuple[str, ...]
    announcements: tuple[str, ...]


@dataclass(frozen=True)
class WitnessKeys:
    """The keys of one witness. Made by :meth:`begin`, :meth:`announce` or :meth:`parse` only.

    Attributes:
        keys: Oldest first; the last one is in use.
        announcements: Signed note by which each key but the first was announced.
        times: When each of them was announced: the time of the old key's cosignature.
    """

    keys: tuple[CosignerVerifier, ...]
    announcements: tuple[bytes, ...] = ()
    times: tuple[datetime, ...] = ()

    @classmethod
    def begin(cls, key: CosignerVerifier) -> Self:
        """A witness with its first key."""
        return cls((key,))

    def announce(self, old: CosignerKey, new: CosignerKey, now: datetime) -> Self:
        """Adds a key.

        Args:
            old: The key in use.
            new: The one that follows; of the same name, of either algorithm.
            now: When it is announced; aware.

        Returns:
            The chain with the new key. Hand it to everybody before the new key is used.

        Raises:
            IdentityError: ``identity.bad-key`` if the keys do not follow each other.
        """
        if old.verifier != self.keys[-1]:
            raise IdentityError("identity.bad-key", f"not the key in use of {self.keys[-1].name}")
        keys = (*self.keys, new.verifier)
        text = _text(keys)
        lines = old.cosign(text, now) + new.cosign(text, now)
        return self._of(keys, (*self.announcements, f"{text}\n{lines}".encode()))

    def encode(self) -> bytes:
        """The chain as a document."""
        announcements = [note.decode() for note in self.announcements]
        return canonical_json(
            {"form": FORM, "keys": [key.encode() for key in self.keys], "announcements": announcements}
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads what :meth:`encode` wrote and checks every announcement.

        Args:
            data: Bytes from anywhere.

        Returns:
            A chain in which each key announced the next. Whose it is, only a pinned key says.

        Raises:
            ProtocolError: ``protocol.malformed`` if it is no such document.
            IdentityError: ``identity.bad-key`` or ``identity.bad-signature`` if the keys do not follow from
                each other.
        """
        try:
            document = _Document.model_validate_json(data)
            notes = tuple(note.encode() for note in document.announcements)
        except (ValidationError, UnicodeEncodeError) as error:
            raise ProtocolError("protocol.malformed", f"not a document of the form {FORM}") from error
        chain = cls._of(tuple(CosignerVerifier.decode(key) for key in document.keys), notes)
        if chain.encode() != data:
            raise ProtocolError("protocol.malformed", "a witness's keys that are not in canonical form")
        return chain

    def verifiers(self, pinned: CosignerVerifier) -> tuple[CosignerVerifier, ...]:
        """The keys that whoever trusts one of them may trust.

        Args:
            pinned: A key that is known from elsewhere, as from the agreement.

        Returns:
            All keys.

        Raises:
            IdentityError: ``identity.bad-key`` if the pinned one is not among them.
        """
        if pinned not in self.keys:
            raise IdentityError("identity.bad-key", "the pinned key is not one of this witness's keys")
        return self.keys

    def cosigned_by(self, note: bytes, pinned: CosignerVerifier) -> tuple[Cosignature, ...]:
        """The cosignatures of this witness under a checkpoint that were made while their key was in use.

        Args:
            note: The checkpoint's note, from anywhere.
            pinned: See :meth:`verifiers`.

        Returns:
            In the order of the note; maybe none.

        Raises:
            IdentityError: As :func:`hanse.crypto.cosigning.read_cosignatures` and :meth:`verifiers`.
            ProtocolError: ``protocol.malformed`` if it is not the note of a checkpoint.
        """
        ends = dict(zip(self.keys, self.times, strict=False))
        found = read_cosignatures(note, self.verifiers(pinned))
        return tuple(one for one in found if one.verifier not in ends or one.time <= ends[one.verifier])

    def policy_lines(self, name: str, pinned: CosignerVerifier) -> str:
        """This witness in a trust policy (C2SP tlog-policy): each key, and a group of which any is enough.

        Args:
            name: What the policy calls the witness.
            pinned: See :meth:`verifiers`.

        Returns:
            Lines, each with its newline.

        Raises:
            IdentityError: As :meth:`verifiers`.
        """
        named = {f"{name}-key-{number}": key for number, key in enumerate(self.verifiers(pinned), start=1)}
        witnesses = "".join(f"witness {own} {key.encode()}\n" for own, key in named.items())
        return f"{witnesses}group {name} any {' '.join(named)}\n"

    @classmethod
    def _of(cls, keys: Sequence[CosignerVerifier], announcements: Sequence[bytes]) -> Self:
        """A chain whose announcements were checked."""
        if not 1 <= len(keys) <= MAX_KEYS or len(announcements) != len(keys) - 1:
            raise ProtocolError("protocol.malformed", "a witness has one announcement fewer than keys")
        if len(set(keys)) != len(keys) or len({key.name for key in keys}) != 1:
            raise IdentityError("identity.bad-key", "a witness's keys are different and have one name")
        times: list[datetime] = []
        for number, note in enumerate(announcements, start=1):
            times.append(_check_announcement(keys[: number + 1], note))
        if times != sorted(times):
            raise IdentityError("identity.bad-key", "a key announced its successor before it was announced")
        return cls(tuple(keys), tuple(announcements), tuple(times))


def announce_key(
    state: WitnessState, chain: WitnessKeys, old: CosignerKey, new: CosignerKey, now: datetime
) -> WitnessKeys:
    """Announces a key under the rules of every other cosignature: no fork of the list, no earlier time.

    Args:
        state: The memory of the witness; the announcement is in it before it is returned.
        chain: The keys so far.
        old: The key in use.
        new: The one that follows.
        now: When it is announced; aware.

    Returns:
        The chain with the new key.

    Raises:
        IdentityError: As :meth:`WitnessKeys.announce`.
        WitnessRefusal: ``fork`` if the old key announced another one before, ``clock`` if the clock is behind
            its last cosignature.
        AuditError: ``audit.unavailable`` if the memory cannot be read or written.
    """
    longer = chain.announce(old, new, now)
    submission = Submission(parse_checkpoint(_text(longer.keys)), longer.announcements[-1])
    hashes = TreeHashes.of_leaves(key.encode().encode() for key in longer.keys)
    with state.turn(submission.checkpoint.origin, old.verifier.key_id) as turn:
        past = turn.past(submission.checkpoint.size)
        known = 0 if past.newest is None else past.newest.checkpoint.size
        proof = consistency_proof(min(known, hashes.size), hashes.size, hashes)
        turn.keep(judge(known, proof, submission, past, now), new.verifier.key_id)
    return longer


def _text(keys: Sequence[CosignerVerifier]) -> str:
    root = root_hash(key.encode().encode() for key in keys)
    return format_checkpoint(f"{keys[0].name}/keys", len(keys), root)


def _check_announcement(keys: Sequence[CosignerVerifier], note: bytes) -> datetime:
    """Checks that the last key but one announced the last; returns when."""
    old, new = keys[-2:]
    if unverified_text(note) != _text(keys):
        raise IdentityError("identity.bad-key", f"key {len(keys)} of {new.name} was not announced")
    signers = {one.verifier: one.time for one in read_cosignatures(note, [old, new])}
    if set(signers) != {old, new}:
        detail = f"key {len(keys)} of {new.name} is not announced by the key before and by itself"
        raise IdentityError("identity.bad-signature", detail)
    return signers[old]

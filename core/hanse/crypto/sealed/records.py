"""Messages to records and back, one object for each direction.

A record is ``AES-256-GCM(key, nonce, message, associated data)`` with

* nonce = the generation's base, exclusive-or the record's number (8 bytes, big-endian, at its end; RFC 8446,
  section 5.3). Numbers count from 0 and never start again, so that no nonce comes twice under a key;
* associated data = ``transcript (32) || role of the sender (1) || kind (1) || number (8)``.

Bounds (draft-irtf-cfrg-aead-limits, section 5.1): after s blocks in q records under a key, the advantage over
confidentiality is at most (s + q + 1)² / 2¹²⁹. A generation ends with the message that makes 2³⁰ bytes or 2²⁰
records full: fewer than 2²⁷ blocks and records, an advantage below 2⁻⁷⁵, where the draft's example allows
2⁻⁵⁷. A forgery of the longest record succeeds with 2⁻¹⁰⁵, and the first that fails is the last try.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hanse.crypto.sealed.schedule import NONCE_BYTES, Role, generation
from hanse.errors import CATALOGUE, ProtocolError, TrainingError

TAG_BYTES: Final = 16
LONGEST_MESSAGE_BYTES: Final = 64 * 1024 * 1024 - TAG_BYTES
GENERATION_BYTES: Final = 2**30
GENERATION_RECORDS: Final = 2**20

_CODE_BYTES: Final = 64
CLOSE_BYTES: Final = _CODE_BYTES + TAG_BYTES
_MESSAGE: Final = b"m"
_CLOSE: Final = b"c"
_ROLES: Final = {"low": b"l", "high": b"h"}


class _Direction:
    """What both ends of one direction know: keys, and how far they are.

    Args:
        transcript: Of the conversation, 32 bytes.
        sender: Which side speaks.
        traffic: Secret of the first generation.
        generation_bytes: After how many bytes a generation ends.
        generation_records: After how many records.
    """

    def __init__(
        self,
        transcript: bytes,
        sender: Role,
        traffic: bytes,
        generation_bytes: int = GENERATION_BYTES,
        generation_records: int = GENERATION_RECORDS,
    ) -> None:
        self._context = transcript + _ROLES[sender]
        self._limits = (generation_bytes, generation_records)
        self._number = 0
        self._next_generation(traffic)

    def _next_generation(self, traffic: bytes) -> None:
        key, base, self._traffic = generation(traffic)
        self._cipher = AESGCM(key)
        self._base = int.from_bytes(base, "big")
        self._bytes = self._records = 0

    def _nonce(self) -> bytes:
        return (self._base ^ self._number).to_bytes(NONCE_BYTES, "big")

    def _associated(self, kind: bytes) -> bytes:
        return self._context + kind + self._number.to_bytes(8, "big")

    def _count(self, size: int) -> None:
        """Goes on to the next record, and to the next generation when this one is used up."""
        self._number += 1
        self._records += 1
        self._bytes += size
        if self._bytes >= self._limits[0] or self._records >= self._limits[1]:
            self._next_generation(self._traffic)


class Sealer(_Direction):
    """The sending end of one direction; one thread at a time."""

    closed = False

    def seal(self, message: bytes) -> bytes:
        """The record of a message, :data:`TAG_BYTES` longer.

        Raises:
            ProtocolError: ``exchange.too-large`` beyond 64 MiB with its tag.
            TrainingError: ``exchange.closed`` after :meth:`close`.
        """
        if len(message) > LONGEST_MESSAGE_BYTES:
            raise ProtocolError("exchange.too-large", f"a message of {len(message)} bytes")
        return self._seal(message, _MESSAGE)

    def close(self, code: str = "") -> bytes:
        """The last record, of :data:`CLOSE_BYTES`.

        Args:
            code: Code of the error that ended the conversation; empty if it is done.
        """
        record = self._seal(code.encode()[:_CODE_BYTES].ljust(_CODE_BYTES, b"\0"), _CLOSE)
        self.closed = True
        return record

    def _seal(self, plaintext: bytes, kind: bytes) -> bytes:
        if self.closed:
            raise TrainingError("exchange.closed", "this side has ended the conversation")
        record = self._cipher.encrypt(self._nonce(), plaintext, self._associated(kind))
        self._count(len(record))
        return record


class Opener(_Direction):
    """The receiving end of one direction; one thread at a time.

    Attributes:
        end: With which code the other side has ended the conversation, empty if it is done; None before.
    """

    end: str | None = None
    _broken = False

    def open(self, record: bytes) -> bytes | None:
        """The message of the next record.

        Args:
            record: From anywhere.

        Returns:
            The message; None for the close, after which :attr:`end` says why.

        Raises:
            ProtocolError: ``sealed.broken`` if it is not the record that the other side has sealed next. No
                later one opens either.
        """
        plaintext, kind = self._opened(record)
        if plaintext is None or self.end is not None or self._broken:
            self._broken = True
            raise ProtocolError("sealed.broken", f"record {self._number} does not open")
        self._count(len(record))
        if kind == _MESSAGE:
            return plaintext
        code = plaintext.rstrip(b"\0").decode("ascii", "replace")
        self.end = code if code in CATALOGUE or not code else "exchange.closed"
        return None

    def _opened(self, record: bytes) -> tuple[bytes | None, bytes]:
        """Plaintext and kind; only what has the length of a close may be one."""
        for kind in (_MESSAGE, _CLOSE):
            if TAG_BYTES <= len(record) <= LONGEST_MESSAGE_BYTES + TAG_BYTES and (
                kind == _MESSAGE or len(record) == CLOSE_BYTES
            ):
                try:
                    return self._cipher.decrypt(self._nonce(), record, self._associated(kind)), kind
                except InvalidTag:
                    continue
        return None, _MESSAGE


@dataclass(frozen=True, slots=True)
class Session:
    """Both directions of a conversation, as one side has them.

    Attributes:
        transcript: Digest of context and hellos, 32 bytes; both sides have the same, and no other
            conversation has it.
        sealer: For what this side says.
        opener: For what the other side says.
    """

    transcript: bytes
    sealer: Sealer
    opener: Opener

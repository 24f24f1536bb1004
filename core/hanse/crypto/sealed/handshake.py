"""How two members come to a session: two messages each way, both sides alike."""

import hmac
from collections.abc import Callable
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hanse.crypto.keys import SIGNATURE_BYTES, SigningKey, VerifierKey
from hanse.crypto.sealed.records import TAG_BYTES, Opener, Sealer, Session
from hanse.crypto.sealed.schedule import (
    KEY_BYTES,
    NONCE_BYTES,
    Role,
    RoleKeys,
    role_keys,
    transcript_hash,
)
from hanse.crypto.sealed.terms import VERSION, SealedTerms, context_digest
from hanse.errors import IdentityError, ProtocolError

_DIGEST_BYTES: Final = 32
HELLO_BYTES: Final = 1 + _DIGEST_BYTES + KEY_BYTES
PROOF_BYTES: Final = SIGNATURE_BYTES + _DIGEST_BYTES + TAG_BYTES
SIGNED_AS: Final = "sealed-session/1"
"""Context of the signature (:meth:`hanse.crypto.SigningKey.sign`)."""

_T = TypeVar("_T")
_ONCE: Final = bytes(NONCE_BYTES)
"""Nonce of a key that encrypts one message in its life."""


class Handshake:
    """One side of one handshake: send :attr:`hello`, then :meth:`prove`, then :meth:`finish`.

    Any error is the end of it; a new one has new ephemeral keys.

    Args:
        key: This member's node key.
        peer: The other member's, as the agreement pins it.
        terms: What the conversation is about.
        entropy: Gives unpredictable bytes, for the ephemeral key.

    Attributes:
        hello: The first message.

    Raises:
        IdentityError: ``identity.bad-key`` if both have the same name or the same key.
    """

    def __init__(
        self, key: SigningKey, peer: VerifierKey, terms: SealedTerms, entropy: Callable[[int], bytes]
    ) -> None:
        mine = key.verifier
        if mine.name == peer.name or mine.public_bytes == peer.public_bytes:
            raise IdentityError("identity.bad-key", f"a conversation of {peer.name} with itself")
        self._key, self._peer = key, peer
        self._role: Role = "low" if mine.name < peer.name else "high"
        self._peer_role: Role = "high" if self._role == "low" else "low"
        self._context = context_digest(terms, *self._in_order(mine, peer))
        self._ephemeral = X25519PrivateKey.from_private_bytes(entropy(KEY_BYTES))
        self.hello = bytes([VERSION]) + self._context + self._ephemeral.public_key().public_bytes_raw()
        self._agreed: tuple[bytes, RoleKeys, RoleKeys] | None = None

    def prove(self, hello: bytes) -> bytes:
        """Takes the other side's hello.

        Args:
            hello: From anywhere.

        Returns:
            The second message, :data:`PROOF_BYTES` long.

        Raises:
            ProtocolError: ``protocol.malformed``, ``protocol.version``; ``sealed.foreign`` if the other side
                means another agreement, run, phase, purpose or other keys; ``sealed.broken`` if it is this
                side's own; ``protocol.unexpected-step`` for a second one.
        """
        if self._agreed is not None:
            raise ProtocolError("protocol.unexpected-step", f"a second hello of {self._peer.name}")
        shared = self._share(self._checked(hello))
        transcript = transcript_hash(self._context, *self._in_order(self.hello, hello))
        mine, theirs = (role_keys(shared, transcript, role) for role in (self._role, self._peer_role))
        self._agreed = (transcript, mine, theirs)
        signature = self._key.sign(SIGNED_AS, _signed(transcript, self._role))
        finished = _finished(mine, transcript, signature)
        return AESGCM(mine.proof).encrypt(_ONCE, signature + finished, transcript)

    def finish(self, proof: bytes) -> Session:
        """Takes the other side's proof.

        Args:
            proof: From anywhere.

        Returns:
            The session; the other side is who it should be, and has the same keys if it got this side's
            proof.

        Raises:
            ProtocolError: ``protocol.unexpected-step`` before :meth:`prove`; ``sealed.broken`` if it was
                altered or is of another handshake.
            IdentityError: ``identity.bad-signature`` if the other side does not have the pinned key.
        """
        if self._agreed is None:
            raise ProtocolError("protocol.unexpected-step", f"a proof before a hello of {self._peer.name}")
        transcript, mine, theirs = self._agreed
        try:
            plaintext = AESGCM(theirs.proof).decrypt(_ONCE, proof, transcript)
        except InvalidTag as error:
            raise self._broken("its proof does not open") from error
        signature, finished = plaintext[:SIGNATURE_BYTES], plaintext[SIGNATURE_BYTES:]
        if not hmac.compare_digest(finished, _finished(theirs, transcript, signature)):
            raise self._broken("its proof does not belong to this handshake")
        self._peer.verify(SIGNED_AS, _signed(transcript, self._peer_role), signature)
        return Session(
            transcript,
            Sealer(transcript, self._role, mine.traffic),
            Opener(transcript, self._peer_role, theirs.traffic),
        )

    def _checked(self, hello: bytes) -> bytes:
        """The ephemeral key of a hello that means this conversation."""
        if len(hello) != HELLO_BYTES:
            raise ProtocolError("protocol.malformed", f"{self._peer.name}: a hello of {len(hello)} bytes")
        if hello[0] != VERSION:
            raise ProtocolError(
                "protocol.version", f"{self._peer.name}: sealed sessions of version {hello[0]}"
            )
        if hello[1 : 1 + _DIGEST_BYTES] != self._context:
            raise ProtocolError(
                "sealed.foreign",
                f"{self._peer.name} means another conversation: agreement, run, phase, purpose or a key",
            )
        if hello == self.hello:
            raise self._broken("it is this side's own hello that came back")
        return hello[1 + _DIGEST_BYTES :]

    def _share(self, public: bytes) -> bytes:
        try:
            return self._ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:  # a point of small order: everybody would have the same in common
            raise ProtocolError("protocol.malformed", f"{self._peer.name}: not an X25519 key") from error

    def _in_order(self, mine: _T, theirs: _T) -> tuple[_T, _T]:
        return (mine, theirs) if self._role == "low" else (theirs, mine)

    def _broken(self, what: str) -> ProtocolError:
        return ProtocolError("sealed.broken", f"{self._peer.name}: {what}")


def _signed(transcript: bytes, role: Role) -> bytes:
    return transcript + role.encode()


def _finished(keys: RoleKeys, transcript: bytes, signature: bytes) -> bytes:
    return hmac.digest(keys.finished, transcript + signature, "sha256")

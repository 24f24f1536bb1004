r"""Sealed conversations between two members, through somebody who must not know what they say.

The pattern is SIGMA (H. Krawczyk, *SIGMA: the SIGn-and-MAc approach to authenticated Diffie-Hellman*,
CRYPTO 2003) in the form that TLS 1.3 gives it (RFC 8446, sections 4.4 and 7): an exchange of ephemeral X25519
keys, then each side's signature over the whole transcript and a MAC over that, both encrypted under keys of
the exchange. There is no initiator: both may begin at once, and roles follow from the order of the names.

1. *Hello*, 65 bytes, in clear: ``version (1) || digest of the context (32) || ephemeral public key (32)``.
   The context is what both sides must mean: agreement, run, phase, purpose, and both names with their keys
   (:class:`SealedTerms`); who means another conversation is told so by name.
2. *Proof*, 112 bytes: AES-256-GCM of ``Ed25519 signature (64) || HMAC-SHA256 (32)``. The keys are the node
   keys that the agreement pins. Who has verified the other's proof knows that the other has the same keys.
3. *Records*: AES-256-GCM of a message, longer by the tag of 16 bytes. Nothing in a record says which one it
   is. Both sides count, and number, direction, kind and transcript are authenticated beside it. A record that
   does not open ends the conversation, so that what is altered, repeated, reordered, left out, reflected or
   taken from another conversation is never passed on.
4. *Close*, 80 bytes: a record of the kind ``close`` with an error code or none, padded to 64 bytes. An end of
   the bytes before it is a truncation.

Every key comes from HKDF-SHA256 (RFC 5869) with the transcript's hash as salt; each direction has its own,
and gets a new one after 1 GiB or 2\ :sup:`20` records, by a step that cannot be undone
(:mod:`~hanse.crypto.sealed.records` has the bounds).

What it gives, if SHA-256, X25519, Ed25519 and AES-256-GCM are what they are taken for: nobody without one of
the two node keys learns what is said, or says something in a member's name; who gets a node key later cannot
read what was recorded before (ephemeral keys are in memory only, though Python cannot promise to wipe them).
What it does not give: sizes and times of messages stay visible, and who carries them can withhold them.

* :mod:`hanse.crypto.sealed.terms`: what both sides must mean.
* :mod:`hanse.crypto.sealed.schedule`: every key, from what it comes.
* :mod:`hanse.crypto.sealed.records`: messages to records and back.
* :mod:`hanse.crypto.sealed.handshake`: how two members come to a session.
"""

from hanse.crypto.sealed.handshake import HELLO_BYTES, PROOF_BYTES, Handshake
from hanse.crypto.sealed.records import CLOSE_BYTES, TAG_BYTES, Opener, Sealer, Session
from hanse.crypto.sealed.terms import SealedTerms

__all__ = [
    "CLOSE_BYTES",
    "HELLO_BYTES",
    "PROOF_BYTES",
    "TAG_BYTES",
    "Handshake",
    "Opener",
    "SealedTerms",
    "Sealer",
    "Session",
]

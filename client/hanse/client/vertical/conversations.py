"""What two members said to each other, as one digest that both have."""

from hanse.crypto import canonical_json, sha256_hex
from hanse.exchange.transcript import Transcript


def conversation_digest(member: str, transcript: Transcript) -> str:
    """Digest of what two members said to each other; the same at both.

    Args:
        member: Whose transcript it is.
        transcript: With the other member.
    """
    said = {member: transcript.sent.digest, transcript.peer: transcript.received.digest}
    return sha256_hex(canonical_json(said))

"""How large and how long anything in a session may become."""

from dataclasses import dataclass
from typing import Final

PROTOCOL: Final = 1
"""Version of the exchange's protocol."""

FRAME_COST: Final = 256
"""What a numbered frame costs beside its payload, bytes: about what it takes in memory."""

INCARNATION_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of one session, in bytes.

    A receiver holds at most ``window_bytes`` of whole messages that nobody has taken, the message that made
    it reach that figure, and the pieces of the next: ``window_bytes + message_bytes``, and 256 bytes for each
    frame. While somebody waits for a message of one peer, those of others may take ``reserve_bytes`` more. A
    sender holds at most ``unacknowledged_bytes``, or one message that is larger.

    Attributes:
        piece_bytes: Longest piece of a message in one frame.
        message_bytes: Longest message.
        window_bytes: What a sender may be ahead of its reader, whole messages.
        unacknowledged_bytes: What a sender keeps until it is acknowledged, before it has to wait.
        reserve_bytes: What this end may be sent beyond the window while somebody waits for a message
            of one peer and those of others stand before it.
    """

    piece_bytes: int = 256 * 1024
    message_bytes: int = 64 * 1024 * 1024
    window_bytes: int = 8 * 1024 * 1024
    unacknowledged_bytes: int = 64 * 1024 * 1024
    reserve_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one session, in seconds.

    Attributes:
        heartbeat_s: After so long without anything to say, a side says that it is there.
        silence_s: Who has heard nothing for so long takes the connection for broken.
        resume_s: How long a session outlives its connection.
        idle_s: How long a session lives without a message.
    """

    heartbeat_s: float = 5.0
    silence_s: float = 20.0
    resume_s: float = 60.0
    idle_s: float = 1800.0

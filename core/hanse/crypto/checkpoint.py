"""The text of a checkpoint (https://c2sp.org/tlog-checkpoint): what a log commits to, in three lines.

Origin of the log, size of its tree, base64 of the tree's root. Extension lines are allowed by the
specification, which recommends against them; here they are refused.
"""

import re
from dataclasses import dataclass
from typing import Final

from hanse.crypto.keys import check_name, decode_base64, encode_base64
from hanse.errors import HanseError, ProtocolError

_ROOT_BYTES: Final = 32
_END_OF_SIZES: Final = 10**18
_FORM: Final = re.compile(r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,17})\n(?P<root>[^\n]+)\n")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log.

    Attributes:
        origin: Which log it is.
        size: Number of entries.
        root: Root hash of their tree, 32 bytes.
    """

    origin: str
    size: int
    root: bytes


def format_checkpoint(origin: str, size: int, root: bytes) -> str:
    """Writes the text of a checkpoint.

    Args:
        origin: Which log it is; a name without spaces and ``+``.
        size: Number of entries.
        root: Root hash, 32 bytes.

    Returns:
        Three lines, to be signed as a note.

    Raises:
        ProtocolError: ``protocol.malformed`` if one of them is not valid.
    """
    # Checked by itself: to parse what was just written would take a tenth of the time of a commit.
    try:
        check_name(origin)
    except HanseError as error:
        raise ProtocolError("protocol.malformed", "a checkpoint names its log") from error
    if not 0 <= size < _END_OF_SIZES or len(root) != _ROOT_BYTES:
        raise ProtocolError(
            "protocol.malformed", f"a checkpoint has a size and a root of {_ROOT_BYTES} bytes"
        )
    return f"{origin}\n{size}\n{encode_base64(root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Reads what :func:`format_checkpoint` wrote.

    Args:
        text: The text of a note from anywhere.

    Returns:
        The checkpoint.

    Raises:
        ProtocolError: ``protocol.malformed`` for any other text.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ProtocolError("protocol.malformed", "a checkpoint has three lines: origin, size, root")
    try:
        check_name(match["origin"])
        digest = decode_base64(match["root"])
    except (ValueError, HanseError) as error:
        raise ProtocolError("protocol.malformed", "a checkpoint names its log and its root") from error
    if len(digest) != _ROOT_BYTES:
        raise ProtocolError("protocol.malformed", f"a root hash has {_ROOT_BYTES} bytes")
    return Checkpoint(match["origin"], int(match["size"]), digest)

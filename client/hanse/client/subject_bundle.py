"""What a member hands to a subject who asks where their row was used: one JSON document, checked offline.

It holds the member's checkpoint, the entries of its log that tell of runs, each with its path to the
checkpoint, one answer for each set of admitted subjects, and the manifests of models that the member has.
Nothing in it names anybody; what it says of the subject is seen only with the subject's secret.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from hanse.crypto import canonical_json
from hanse.crypto.keys import decode_base64
from hanse.errors import ProtocolError
from hanse.policies.fields import Document, Many, Sha256Hex, UtcTime

MAX_BUNDLE_BYTES: Final = 256 << 20

WhyNot = Literal["deleted", "damaged", "other-secret"]
"""Why there is no proof about a set: its time is over; its file is not what it was; at that time another
secret of the subject counted."""


def _is_base64(text: str) -> str:
    decode_base64(text)
    return text


Base64 = Annotated[str, AfterValidator(_is_base64)]


class LogEntry(Document):
    """An entry of the member's log.

    Attributes:
        index: Where it is, from 0.
        entry: Its exact bytes, which are ASCII.
        path: Hashes from its leaf's sibling up, 32 bytes each, base64.
    """

    index: Annotated[int, Field(ge=0)]
    entry: str
    path: Many[Base64]


class SetAnswer(Document):
    """What the member says of one set.

    Attributes:
        root: Its root, by which entries name it.
        proof: The proof about the subject (see :mod:`hanse.audit.subject_set`), base64.
        why_not: Why there is none.
    """

    root: Sha256Hex
    proof: Base64 | None
    why_not: WhyNot | None


class Anchor(Document):
    """The newest statement of the member in the co-signed shared log; see :mod:`hanse.client.subject_anchor`.

    Attributes:
        statement: The entry of the shared log, exact bytes, which are ASCII.
        proof: That it is under a co-signed checkpoint: a proof file (C2SP tlog-proof).
        consistency: Hashes that prove that the member's log continues the stated one, base64.
    """

    statement: str
    proof: str
    consistency: Many[Base64]


class Bundle(Document):
    """See the module docstring.

    Attributes:
        format: Always the same.
        made_at: When it was made.
        checkpoint: The newest checkpoint of the member's log, a signed note.
        entries: Entries, in order.
        sets: Answers, one for each root.
        manifests: Signed manifests of models; their digests are in the entries.
        anchor: What ties the log to the co-signed shared log; None if the member had no copy of that.
    """

    format: Literal["hanse subject bundle v1"]
    made_at: UtcTime
    checkpoint: str
    entries: Many[LogEntry]
    sets: Many[SetAnswer]
    manifests: Many[str]
    anchor: Anchor | None = None


def format_bundle(bundle: Bundle) -> bytes:
    """A bundle as bytes: canonical JSON."""
    return canonical_json(bundle.model_dump(mode="json")) + b"\n"


def parse_bundle(data: bytes) -> Bundle:
    """Reads a bundle.

    Args:
        data: Bytes from anywhere.

    Returns:
        The bundle, of which nothing is checked but its form.

    Raises:
        ProtocolError: ``protocol.malformed`` if it is none.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise ProtocolError("protocol.malformed", f"a bundle has at most {MAX_BUNDLE_BYTES} bytes")
    try:
        return Bundle.model_validate_json(data)
    except ValidationError as error:
        raise ProtocolError("protocol.malformed", "not a bundle about a subject") from error

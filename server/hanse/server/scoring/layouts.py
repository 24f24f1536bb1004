"""Requests that look like one before are read without looking at each part of them again.

A caller's requests differ in their values and hardly ever in anything else. What a request has beside its id
and the raw contents of its tensors is compared, as bytes, with what :func:`read_call` has accepted before.
Where all of that is the same, and each content has the same length, protobuf would read the same message with
other values: which these are is known from where they lie. Whatever is not quite as expected is left to
:func:`read_call`, which also says what is wrong with it: this module refuses nothing.
"""

import math
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.server.scoring.call import PURPOSE_PARAMETER, SUBJECT_INPUT, Call
from hanse.server.scoring.messages import DELIMITED, fields, short_text
from hanse.server.scoring.tensors import NUMERIC_TYPES

_MOST_LAYOUTS: Final = 256
_MOST_FIXED_BYTES: Final = 1 << 15
"""What is remembered of a request is at most this: a caller may fill what nobody reads."""
_LENGTH_BYTES: Final = 4
_MANY_ROWS: Final = 64
"""From here on it takes less time to look all subjects up together."""
_ID, _RAW = (
    oip.ModelInferRequest.DESCRIPTOR.fields_by_name[name].number for name in ("id", "raw_input_contents")
)

Subjects: TypeAlias = frozenset[bytes] | npt.NDArray[np.void]
"""Whom a request asks about: each once, or as many as it has rows."""


class Layout(NamedTuple):
    """What is known of requests that look alike.

    Attributes:
        bound_to: Digest of what says which columns and outputs there are: an agreement, or a model version.
        model: Name of the model that they ask for.
        version: Version that they ask for.
        purpose: The purpose that they declare; None if that stands elsewhere.
        rows: Number of rows.
        subject: Place of the subjects among the inputs.
        subject_length: How a subject begins: the length of each, in four bytes.
        subject_type: Of a subject, as the length and what follows it.
        names: Names of the columns, in the order of the inputs.
        dtype: Type of all of them.
        outputs: Outputs asked for.
        cut: Cuts what follows the id into what stays and the contents, in turn.
        fixed: What stays.
    """

    bound_to: str
    model: str
    version: str
    purpose: str | None
    rows: int
    subject: int
    subject_length: bytes
    subject_type: np.dtype[Any]
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    outputs: tuple[str, ...]
    cut: Struct
    fixed: tuple[bytes, ...]


class Alike(NamedTuple):
    """A request that looks like one before.

    Attributes:
        layout: What it looks like.
        request_id: What the caller calls it, UTF-8.
        subjects: Raw content of the subjects.
        values: Raw contents of the columns, one after the other.
    """

    layout: Layout
    request_id: bytes
    subjects: bytes
    values: bytes


class Layouts:
    """Remembers what requests look like."""

    def __init__(self) -> None:
        # By what stands before the id, and the number of bytes after it.
        self._known: dict[bytes, dict[int, list[Layout]]] = {}
        self._count = 0

    def read(self, body: bytes) -> Alike | None:
        """Reads a request that looks like one before.

        Args:
            body: A request, from anywhere.

        Returns:
            The request; None if :func:`hanse.server.scoring.call.read_call` is to read it.
        """
        for before, by_length in self._known.items():
            if not body.startswith(before):
                continue
            request_id, start = short_text(body, len(before), _ID)
            for layout in by_length.get(len(body) - start, ()):
                parts = layout.cut.unpack_from(body, start)
                if parts[::2] == layout.fixed and request_id.isascii():
                    contents = list(parts[1::2])
                    subjects = contents.pop(layout.subject)
                    return Alike(layout, request_id, subjects, b"".join(contents))
        return None

    def learn(self, body: bytes, request: oip.ModelInferRequest, bound_to: str, call: Call) -> None:
        """Remembers what a request looks like, if its columns are all numbers of one type.

        Args:
            body: A request that was read.
            request: What protobuf made of it.
            bound_to: See :class:`Layout`.
            call: What it was read as.
        """
        types = {tensor.datatype for tensor in request.inputs if tensor.name != SUBJECT_INPUT}
        lengths = {len(subject.encode()) for subject in call.subjects}
        if not call.raw or len(types) != 1 or not types <= NUMERIC_TYPES.keys() or len(lengths) != 1:
            return
        names = [tensor.name for tensor in request.inputs]
        subject = names.index(SUBJECT_INPUT)
        del names[subject]
        skeleton = _skeleton(body)
        if skeleton is None or len(skeleton.fixed) != len(names) + 2:
            return
        if len(skeleton.before) + sum(map(len, skeleton.fixed)) > _MOST_FIXED_BYTES:
            return
        purpose = None
        if PURPOSE_PARAMETER in request.parameters:
            purpose = request.parameters[PURPOSE_PARAMETER].string_param
        if self._count >= _MOST_LAYOUTS:
            self._known.clear()
            self._count = 0
        self._count += 1
        length = lengths.pop()
        layout = Layout(
            bound_to, request.model_name, request.model_version, purpose, len(call.subjects), subject,
            length.to_bytes(_LENGTH_BYTES, "little"), np.dtype([("length", "<u4"), ("name", f"V{length}")]),
            tuple(names), NUMERIC_TYPES[types.pop()], call.outputs, skeleton.cut, skeleton.fixed,
        )  # fmt: skip
        alike = self._known.setdefault(skeleton.before, {}).setdefault(skeleton.cut.size, [])
        # The same request, bound to something else, takes the place of the one before.
        alike[:] = [other for other in alike if other.fixed != layout.fixed] + [layout]


def subjects_of(alike: Alike) -> Subjects | None:
    """Identifiers of the subjects, in UTF-8 if they are any text at all.

    Returns:
        None if one is not of the length that the layout has.
    """
    layout, raw = alike.layout, alike.subjects
    if layout.rows == 1:
        return frozenset((raw[_LENGTH_BYTES:],)) if raw.startswith(layout.subject_length) else None
    subjects = np.frombuffer(raw, layout.subject_type)
    names = subjects["name"]
    if (subjects["length"] != names.itemsize).any():
        return None
    return names if layout.rows >= _MANY_ROWS else frozenset(names.tolist())


def call_of(alike: Alike) -> Call | None:
    """The call, as :func:`hanse.server.scoring.call.read_call` would read it.

    Returns:
        None if that is to read it: a value is not finite, a subject of another length, blank or no text.
    """
    layout = alike.layout
    subjects = _texts_of(alike)
    values = np.frombuffer(alike.values, layout.dtype).astype(np.float64)
    # Of few values numpy would take longer to begin than to look.
    good = all(map(math.isfinite, values.tolist())) if layout.rows == 1 else np.isfinite(values).all()
    if subjects is None or not good:
        return None
    columns = dict(zip(layout.names, values.reshape(len(layout.names), layout.rows), strict=True))
    return Call(subjects, columns, layout.outputs, raw=True)


def _texts_of(alike: Alike) -> tuple[str, ...] | None:
    """Identifiers of the subjects; None if one is of another length, blank or no text."""
    raw, length = alike.subjects, alike.layout.subject_type.itemsize
    each = [raw[at : at + length] for at in range(0, len(raw), length)]
    if not all(one.startswith(alike.layout.subject_length) for one in each):
        return None
    try:
        texts = tuple(one[_LENGTH_BYTES:].decode() for one in each)
    except UnicodeDecodeError:
        return None
    return texts if all(map(str.strip, texts)) else None


class _Skeleton(NamedTuple):
    """See :class:`Layout`; ``before`` is what stands before the id."""

    before: bytes
    cut: Struct
    fixed: tuple[bytes, ...]


def _skeleton(body: bytes) -> _Skeleton | None:
    """What a message has beside id and raw contents; None if it is not written in the usual way."""
    found = list(fields(body))
    if any(field.kind != DELIMITED for field in found):
        return None
    place = next((place for place, field in enumerate(found) if field.number >= _ID), len(found))
    before = found[place - 1].end if place else 0
    has_id = place < len(found) and found[place].number == _ID
    start, rest = (found[place].end, found[place + 1 :]) if has_id else (before, found[place:])
    if any(field.number == _ID for field in rest):
        return None
    sizes: list[int] = []
    fixed: list[bytes] = []
    for field in rest:
        if field.number == _RAW:
            sizes += [field.start - start, field.end - field.start]
            fixed.append(body[start : field.start])
            start = field.end
    fixed.append(body[start:])
    sizes.append(len(body) - start)
    return _Skeleton(body[:before], Struct("".join(f"{size}s" for size in sizes)), tuple(fixed))

"""What another party is sent of every person, noted by whoever sends it, while a protocol runs.

The label holder runs its protocol over a :class:`Recorder` in the place of the channel; afterwards it attacks
what the other party saw with the labels that only it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.body import decode_body
from hanse.errors import TrainingError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.leakage.surfaces import Surface, widest

Floats = NDArray[np.float64]
Tables: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(slots=True)
class _Noted:
    """Of one step of a protocol: the first table of a person a row, and the sums of all."""

    first: Floats
    total: Floats
    times: int = 1

    def add(self, table: Floats) -> None:
        wide, narrow = (table, self.total) if table.shape[1] > self.total.shape[1] else (self.total, table)
        wide[:, : narrow.shape[1]] += narrow
        self.total = wide
        self.times += 1


class Recorder:
    """A :class:`PeerChannel` that notes what is sent of every person.

    Every array with an axis as long as there are people is taken for one, whatever else it is; integers are
    taken for signed ones, as an attacker would who hopes that a mask was forgotten. Of each step of a
    protocol two tables are kept, however long it runs, with at most
    :data:`hanse.learning.vertical.leakage.surfaces.MAX_NUMBERS` each.

    Args:
        channel: What carries the messages.
        rows: How many people there are.
        before: What earlier attempts at the same run have noted, from :meth:`tables`; None for nothing.
    """

    def __init__(self, channel: PeerChannel, rows: int, before: Tables | None = None) -> None:
        self._channel = channel
        self._rows = rows
        self._noted: dict[str, _Noted] = {} if before is None else _from_tables(before, rows)

    def tables(self) -> Tables:
        """All that is noted, as arrays by name."""
        found: dict[str, NDArray[Any]] = {}
        for step, noted in self._noted.items():
            found |= {f"{step}.first": noted.first, f"{step}.total": noted.total}
            found[f"{step}.times"] = np.array(noted.times, dtype=np.int64)
        return found

    @property
    def peer(self) -> str:
        """The other party."""
        return self._channel.peer

    def send(self, body: bytes) -> None:
        """As :meth:`PeerChannel.send`."""
        self._channel.send(body)
        header, arrays = decode_body(body)
        for array in arrays:
            if self._rows in array.shape and array.ndim <= 2:  # noqa: PLR2004
                self._note(str(header.get("step", "message")), array)

    def receive(self) -> bytes:
        """As :meth:`PeerChannel.receive`."""
        return self._channel.receive()

    def surfaces(self) -> tuple[Surface, ...]:
        """What was seen, for :func:`hanse.learning.vertical.leakage.attack_labels`: once, and averaged."""
        surfaces = []
        for step, noted in self._noted.items():
            surfaces.append(Surface(f"{step}, first", noted.first))
            if noted.times > 1:
                surfaces.append(Surface(f"{step}, averaged over {noted.times}", noted.total))
        return tuple(surfaces)

    def _note(self, step: str, array: NDArray[Any]) -> None:
        table = _per_person(array, self._rows)
        if step in self._noted:
            self._noted[step].add(table)
        else:
            self._noted[step] = _Noted(table, table.copy())


def _from_tables(tables: Tables, rows: int) -> dict[str, _Noted]:
    """Reads :meth:`Recorder.tables`.

    Raises:
        TrainingError: ``run.interrupted`` if they are of other people, or not whole.
    """
    noted: dict[str, _Noted] = {}
    for step in {name.rpartition(".")[0] for name in tables}:
        first, total, times = (tables.get(f"{step}.{part}") for part in ("first", "total", "times"))
        if first is None or total is None or times is None or times.dtype != np.int64 or times.shape:
            raise TrainingError("run.interrupted", "what was noted of sent messages is not whole")
        sound = all(table.ndim == 2 and table.shape[0] == rows for table in (first, total))  # noqa: PLR2004
        if not sound or {first.dtype, total.dtype} != {np.dtype(np.float64)}:
            raise TrainingError("run.interrupted", "what was noted of sent messages is of other people")
        noted[step] = _Noted(first.copy(), total.copy(), int(times))
    return noted


def _per_person(array: NDArray[Any], rows: int) -> Floats:
    table = array[:, None] if array.ndim == 1 else array
    table = (table if len(table) == rows else table.T)[:, : widest(rows)]
    signed = table.view(np.dtype(f"i{table.itemsize}")) if table.dtype.kind == "u" else table
    scale = 2.0 ** (8 * signed.itemsize - 1) if signed.dtype.kind == "i" else 1.0
    values: Floats = signed.astype(np.float64) / scale
    return values

"""The entries of a verified log, read again when they are needed, so that none of it stays in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from typing_extensions import override

from hanse.audit.entry import Entry
from hanse.audit.reader import LogReader
from hanse.audit.tree import leaf_hash
from hanse.errors import AuditError
from hanse.pieces.summary import BLOCK_ENTRIES, block_digest


class Leaves(Sequence[bytes]):
    """The bytes of a log's entries, each compared with what was verified.

    Args:
        place: Where the log is.
        size: Number of entries that were verified; later ones are not shown.
        blocks: See :attr:`hanse.audit.replay.Replay.blocks`: 32 bytes for each 256 entries.
    """

    def __init__(self, place: Path | str, size: int, blocks: Sequence[bytes]) -> None:
        self._place = place
        self._size = size
        self._blocks = blocks
        self._last: tuple[int, list[bytes]] = (-1, [])

    @override
    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    @override
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            first, end, step = index.indices(self._size)
            return [self[place] for place in range(first, end, step)]
        place = index + self._size if index < 0 else index
        if not 0 <= place < self._size:
            raise IndexError(index)
        number, offset = divmod(place, BLOCK_ENTRIES)
        if self._last[0] != number:
            with LogReader.open(self._place) as reader:
                self._last = number, self._block(reader, number)
        return self._last[1][offset]

    @override
    def __iter__(self) -> Iterator[bytes]:
        if not self._size:
            return
        with LogReader.open(self._place) as reader:
            for number in range(len(self._blocks)):
                yield from self._block(reader, number)

    def _block(self, reader: LogReader, number: int) -> list[bytes]:
        """Reads some entries again.

        Raises:
            AuditError: ``audit.integrity`` if they are not those that were verified.
        """
        first = number * BLOCK_ENTRIES
        leaves = list(reader.leaves(first, min(first + BLOCK_ENTRIES, self._size)))
        if block_digest([leaf_hash(leaf) for leaf in leaves]) != self._blocks[number]:
            raise AuditError("audit.integrity", "entries were changed after they were verified", entry=first)
        return leaves


class ParsedEntries(Sequence[Entry]):
    """Entries, parsed when asked for.

    Args:
        leaves: Their bytes.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves

    @override
    def __len__(self) -> int:
        return len(self._leaves)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    @override
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [Entry.parse(leaf) for leaf in self._leaves[index]]
        return Entry.parse(self._leaves[index])

    @override
    def __iter__(self) -> Iterator[Entry]:
        return map(Entry.parse, self._leaves)

"""What the label holder knows of one feature holder, and asks of it."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.errors import ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.columns import Layout
from hanse.learning.boosting.settings import MAX_CODES
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.vertical.tossing import toss_first
from hanse.learning.vertical.trees.dealer import MAX_BINS
from hanse.learning.vertical.trees.dealing import coin_toss
from hanse.learning.vertical.trees.messages import (
    BEGIN,
    BINS,
    CHECKED,
    COLUMNS,
    COMBINED,
    OVER,
    POINT,
    POINTED,
    PROOF,
    SIDES,
    SUMS,
    check_array,
    hear_array,
    pieces,
    receive_matrix,
    send_matrix,
)
from hanse.learning.vertical.trees.points import HolderPoint, LabelPoint, as_cuts, from_cuts
from hanse.learning.vertical.trees.ring import BLOCK, Ring
from hanse.learning.vertical.trees.terms import TreesTerms

MAX_COLUMNS: Final = 10_000
_ARRAYS: Final = 3

Integers = NDArray[np.int64]


class Remote:
    """A feature holder, as the label holder meets it.

    Args:
        terms: The run's.
        channel: To the feature holder.
        point: What both go on from; None to begin.
    """

    def __init__(self, terms: TreesTerms, channel: PeerChannel, point: LabelPoint | None = None) -> None:
        self._terms = terms
        self.channel = channel
        self.name = channel.peer
        say(channel, BEGIN, terms=terms.digest, point="" if point is None else point.digest)
        self.layout, self.bins = self._columns()
        self._cells = _cells(self.layout, self.bins)
        self._cuts: dict[tuple[int, bytes], int] = {}
        self._sides: list[NDArray[np.uint8]] = []
        if point is not None:
            self._cuts = self._kept_cuts(point.holders.get(self.name))

    def _kept_cuts(self, kept: HolderPoint | None) -> dict[tuple[int, bytes], int]:
        """Cuts of earlier attempts, if the columns are still the ones that they were made of."""
        same = kept is not None and (kept.layout, kept.bins) == (self.layout, tuple(self.bins.tolist()))
        if kept is None or not same:
            raise malformed(self.channel, "it shows other columns than before the interruption")
        return from_cuts(kept)

    def receive_sides(self) -> None:
        """The sides of the cuts that were made before this attempt."""
        width = (self._terms.rows + 7) // 8
        for part in pieces(len(self._cuts), width):
            shape = (part.stop - part.start, width)
            self._sides += list(hear_array(self.channel, SIDES, np.uint8, shape))

    def packed_sides(self, cuts: list[int]) -> NDArray[np.uint8]:
        """Sides of all rows as they were received, of cuts by their numbers; shape (cuts, bytes)."""
        if not cuts:
            return np.zeros((0, 0), dtype=np.uint8)
        return np.stack([self._sides[cut] for cut in cuts])

    @property
    def point(self) -> HolderPoint:
        """What is known of the feature holder now."""
        return HolderPoint(
            name=self.name,
            codes=self.layout.codes,
            ordered=self.layout.ordered,
            bins=tuple(self.bins.tolist()),
            cuts=as_cuts(self._cuts),
        )

    def reach(self, trees: int, said: Mapping[str, str], digest: str) -> None:
        """Lets the feature holder keep a point; it has when this returns.

        Args:
            trees: Iterations that are done.
            said: Digest of what was said to each feature holder so far.
            digest: Of the point.

        Raises:
            ProtocolError: ``protocol.malformed`` if the feature holder means another one.
        """
        say(self.channel, POINT, trees=trees, said={**said})
        header, arrays = hear_step(self.channel, POINTED)
        if arrays or header.get("point") != digest:
            raise malformed(self.channel, "it keeps another point of the run")

    def _columns(self) -> tuple[Layout, Integers]:
        """Codes and order of the columns, and how many of each one's codes have rows."""
        _, arrays = hear_step(self.channel, COLUMNS)
        if len(arrays) != _ARRAYS or arrays[0].ndim != 1 or not 1 <= len(arrays[0]) <= MAX_COLUMNS:
            raise malformed(self.channel, "columns have another form")
        shape = arrays[0].shape
        codes = check_array(self.channel, arrays[0], np.int64, shape)
        ordered = check_array(self.channel, arrays[1], np.uint8, shape)
        bins = check_array(self.channel, arrays[2], np.int64, shape)
        good = (codes >= 1 + ordered) & (codes <= MAX_CODES) & (ordered <= 1) & (bins >= 1)
        good &= (bins <= codes) & (bins >= codes - 1)
        if not good.all() or bins.sum() > MAX_BINS:
            raise malformed(self.channel, "columns have another form")
        return Layout(tuple(codes.tolist()), tuple((ordered == 1).tolist())), bins

    def receive_opened(self) -> Ring:
        """E: its one-hot rows less its mask, shape (rows, bins)."""
        width = int(self.bins.sum())
        opened = np.empty((self._terms.rows, width), dtype=np.uint32)
        for start in range(0, self._terms.rows, BLOCK):
            length = min(BLOCK, self._terms.rows - start)
            opened[start : start + length] = receive_matrix(self.channel, BINS, (length, width))
        return opened

    def ask(self, masked: Ring) -> None:
        """Asks for a share of sums.

        Args:
            masked: Gradients less masks, shape (columns, rows).
        """
        say(self.channel, SUMS, masked)

    def hear(self, share: Ring, totals: Integers) -> Integers:
        """The sums that were asked for.

        Args:
            share: The label holder's, shape (columns, bins).
            totals: Sums over all rows, shape (columns,).

        Returns:
            Shape (columns, layout.total).

        Raises:
            ProtocolError: ``vertical.sums`` if the bins of some column do not add up to the total.
        """
        theirs = hear_array(self.channel, SUMS, np.uint32, share.shape)
        return self.placed((theirs + share).view(np.int32).astype(np.int64), totals)

    def placed(self, sums: Integers, totals: Integers) -> Integers:
        """Sums of bins as a histogram of all codes, if they add up.

        Args:
            sums: Shape (columns, bins).
            totals: See :meth:`hear`.

        Returns:
            Shape (columns, layout.total).

        Raises:
            ProtocolError: As :meth:`hear`.
        """
        starts = np.concatenate([[0], np.cumsum(self.bins)[:-1]])
        if (np.add.reduceat(sums, starts, axis=1) != totals[:, None]).any():
            raise ProtocolError(
                "vertical.sums", f"{self.name}: the bins of a column do not add up to its total"
            )
        if (sums[CHANNELS - 1 :: CHANNELS] < 0).any() or (sums[1::CHANNELS] < 0).any():
            raise ProtocolError("vertical.sums", f"{self.name}: a bin has fewer than no rows")
        result = np.zeros((len(sums), self.layout.total), dtype=np.int64)
        result[:, self._cells] = sums
        return result

    def sides(self, columns: Integers, left: NDArray[np.bool_]) -> list[NDArray[np.uint8]]:
        """Sides of all rows, which are asked for once for each cut.

        Args:
            columns: Of the cuts, in the feature holder's layout.
            left: Codes that go left, shape (cuts, layout.width).

        Returns:
            0 for left and 1 for right of each row, for each cut.
        """
        rows = self._terms.rows
        packed = [self._sides[cut] for cut in self.cuts(columns, left)]
        return [1 - np.unpackbits(bits, count=rows, bitorder="little") for bits in packed]

    def cuts(self, columns: Integers, left: NDArray[np.bool_]) -> list[int]:
        """Numbers of cuts, new ones of which are made; see :meth:`sides`."""
        keys = [(column, codes.tobytes()) for column, codes in zip(columns.tolist(), left, strict=True)]
        new = {key: number for number, key in enumerate(keys) if key not in self._cuts}
        if new:
            rows, which = self._terms.rows, list(new.values())
            say(self.channel, SIDES, columns[which], np.packbits(left[which], axis=1, bitorder="little"))
            packed = hear_array(self.channel, SIDES, np.uint8, (len(which), (rows + 7) // 8))
            self._sides += list(packed)
            self._cuts |= {key: len(self._cuts) + number for number, key in enumerate(new)}
        return [self._cuts[key] for key in keys]

    def toss(self, batches: int, own: bytes, check: int) -> bytes:
        """Tosses a coin with the feature holder.

        Args:
            batches: Of the dealer, that the coin is for.
            own: Own half, random, :data:`hanse.crypto.COIN_BYTES` long.
            check: Number of the check that it is for.

        Returns:
            The joint coin.
        """
        tossed = coin_toss(self._terms.digest, check)
        return toss_first(self.channel, tossed, self._terms.label_holder, own, batches=batches)

    def prove(self, columns: Ring, share: Ring) -> None:
        """Lets the feature holder check the dealer.

        Raises:
            ProtocolError: ``vertical.dealing`` if the dealer's numbers do not fit together.
        """
        send_matrix(self.channel, PROOF, columns)
        send_matrix(self.channel, COMBINED, share)
        header, _ = hear_step(self.channel, CHECKED)
        if header.get("good") is not True:
            raise ProtocolError("vertical.dealing", f"{self.name}: the dealer's numbers do not fit together")

    def end(self, kept: list[int]) -> None:
        """Says that the run is over, and which cuts the model uses, in the order of their new numbers."""
        say(self.channel, OVER, np.array(kept, dtype=np.int64))


def _cells(layout: Layout, bins: Integers) -> Integers:
    """Where the bins are in a histogram of all codes."""
    starts = layout.offsets
    return np.concatenate([start + np.arange(count) for start, count in zip(starts, bins, strict=True)])

"""Which cuts a feature holder was asked for while trees grew, which it may know by agreement.

Cuts are chosen with the labels, so the side of a cut that a person is on says something of the label. The
label holder notes the sides that it is sent; with the labels that only it has it can tell how much.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.body import decode_body
from hanse.errors import HanseError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.leakage.surfaces import Surface, widest

SIDES: Final = "sides"
"""As :mod:`hanse.learning.vertical.trees.messages` names the message with sides of all people."""


class AskedCuts:
    """A :class:`PeerChannel` that notes the sides of people that a feature holder sends, at the first cuts.

    Args:
        channel: To the feature holder.
        rows: How many people there are.
    """

    def __init__(self, channel: PeerChannel, rows: int) -> None:
        self._channel = channel
        self._rows = rows
        self._packed: list[NDArray[np.uint8]] = []

    @property
    def peer(self) -> str:
        """The feature holder."""
        return self._channel.peer

    def send(self, body: bytes) -> None:
        """As :meth:`PeerChannel.send`."""
        self._channel.send(body)

    def receive(self) -> bytes:
        """As :meth:`PeerChannel.receive`; what cannot be read is left to whoever receives it."""
        body = self._channel.receive()
        wanted = widest(self._rows) - len(self._packed)
        if wanted > 0:
            self._packed += self._sides(body)[:wanted]
        return body

    def surface(self) -> Surface | None:
        """The cuts as something that the feature holder saw of every person; None if there were none."""
        if not self._packed:
            return None
        sides = np.unpackbits(np.stack(self._packed), axis=1, count=self._rows, bitorder="little").T
        seen = sides - sides.mean(axis=0)
        return Surface("the cuts it was asked for", seen, attacks=("spectral",))

    def _sides(self, body: bytes) -> list[NDArray[np.uint8]]:
        try:
            header, arrays = decode_body(body)
        except HanseError:
            return []
        shape = (self._rows + 7) // 8
        return [
            side
            for array in arrays
            if header.get("step") == SIDES
            and array.dtype == np.uint8
            and array.ndim == 2  # noqa: PLR2004
            and array.shape[1] == shape
            for side in array
        ]

"""The first words of a run: both sides compare what they agreed on, and find where to go on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hanse.errors import ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.messages import receive, send
from hanse.learning.vertical.split.checkpoints import common_epoch
from hanse.learning.vertical.split.settings import SplitSettings

if TYPE_CHECKING:
    from hanse.crypto import JsonInput

_MOST_OFFERS: Final = 8


def greet(
    peer: PeerChannel, settings: SplitSettings, rows: int, root: bytes, offers: Sequence[int]
) -> tuple[int | None, int]:
    """A feature holder says what it brings and hears where the run begins.

    Args:
        peer: The label holder.
        settings: The run's.
        rows: People that are aligned.
        root: Of the alignment.
        offers: Epochs of which this party has a state.

    Returns:
        The epoch to go on from, None for a new run; and the number of parties.

    Raises:
        ProtocolError: ``protocol.malformed`` if the answer is no such thing.
    """
    brought: dict[str, JsonInput] = {
        "settings": settings.digest,
        "rows": rows,
        "root": root.hex(),
        "offers": [*offers],
    }
    send(peer, "hello", 0, more=brought)
    header, _ = receive(peer, "begin", 0)
    match header:
        case {"epoch": int(epoch), "parties": int(parties)} if epoch in {-1, *offers}:
            return (None if epoch < 0 else epoch), parties
        case _:
            raise ProtocolError("protocol.malformed", f"{peer.peer} begins nowhere")


def welcome(
    peers: Mapping[str, PeerChannel], settings: SplitSettings, rows: int, root: bytes, offers: Sequence[int]
) -> int | None:
    """The label holder hears all feature holders and says where the run begins.

    Returns:
        The epoch to go on from; None for a new run.

    Raises:
        ProtocolError: ``protocol.malformed`` if one brings other settings, other people, or their other
            order.
    """
    everybody = [list(offers)]
    for peer in peers.values():
        header, _ = receive(peer, "hello", 0)
        offered = header.pop("offers", None)
        if header != {"settings": settings.digest, "rows": rows, "root": root.hex()}:
            raise ProtocolError(
                "protocol.malformed", f"{peer.peer} comes with other settings, other people or another order"
            )
        if not isinstance(offered, list) or len(offered) > _MOST_OFFERS:
            raise ProtocolError("protocol.malformed", f"{peer.peer} offers no epochs")
        everybody.append([epoch for epoch in offered if isinstance(epoch, int)])
    epoch = common_epoch(everybody)
    for peer in peers.values():
        send(peer, "begin", 0, more={"epoch": -1 if epoch is None else epoch, "parties": 1 + len(peers)})
    return epoch

"""The label holder and the feature holder of a scorecard: cells, secret training, their halves of the card.

Each learns the weights of its own cells and nothing else; the label holder also the points that a feature
holder sends for people to be scored.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step
from hanse.crypto import COIN_BYTES, Toss
from hanse.errors import ConfigurationError, ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.boosting.columns import Binning
from hanse.learning.vertical.scorecard.card import HalfCard
from hanse.learning.vertical.scorecard.checking import coin_toss
from hanse.learning.vertical.scorecard.dealer import SEED_BYTES, sizes_of
from hanse.learning.vertical.scorecard.design import Design
from hanse.learning.vertical.scorecard.messages import hear, receive, say, send
from hanse.learning.vertical.scorecard.ring import WEIGHT_BITS, Ring, decode, encode
from hanse.learning.vertical.scorecard.secret import Half
from hanse.learning.vertical.scorecard.settings import MAX_FEATURES, MAX_ROWS, MIN_ROWS, ScorecardSettings
from hanse.learning.vertical.tossing import COMMIT, toss_first, toss_second

Columns = Mapping[str, NDArray[Any]]
Progress = Callable[[int], None]

_BOUND: Final = "label holder"
"""Who is bound to its half of the coin."""


def train_label_holder(
    binning: Binning,
    columns: Columns,
    labels: NDArray[np.bool_],
    settings: ScorecardSettings,
    root: bytes,
    feature_holder: PeerChannel,
    dealer: PeerChannel,
    progress: Progress = lambda _: None,
) -> HalfCard:
    """The label holder's part of a run.

    Args:
        binning: How its columns are cut into cells; nobody else sees it.
        columns: What it has of the aligned people, in their common order, by name.
        labels: Shape (rows,).
        settings: The run's.
        root: Of the alignment.
        feature_holder: The other party.
        dealer: The coordinator.
        progress: Called with the number of finished iterations.

    Returns:
        Its half of the card, with the base.

    Raises:
        ConfigurationError: ``config.bad-data`` if labels are not yes or no, or of one kind only.
        ProtocolError: ``protocol.malformed`` if the other party comes with other settings or people;
            ``vertical.dealing`` if the dealer's numbers do not fit together.
        HanseError: As the channels.
    """
    if labels.dtype != np.bool_ or labels.shape != (_rows(columns),):
        raise ConfigurationError("config.bad-data", "a label is yes or no, one for each person")
    if labels.all() or not labels.any():
        raise ConfigurationError("config.bad-data", "every label is the same")
    design, features = _prepare(binning, columns, settings, constant=True)
    odds = np.log(labels.mean() / (1 - labels.mean()))
    start = np.zeros(design.features, dtype=np.uint64)
    start[-1] = encode(np.array([odds / design.constant]), WEIGHT_BITS)[0]
    weights = _train(0, features, labels, settings, root, feature_holder, dealer, start, progress)
    log_odds, base = design.log_odds(decode(weights, WEIGHT_BITS))
    return HalfCard.of(settings.scale, design.binning, log_odds, base)


def train_feature_holder(
    binning: Binning,
    columns: Columns,
    settings: ScorecardSettings,
    root: bytes,
    label_holder: PeerChannel,
    dealer: PeerChannel,
    progress: Progress = lambda _: None,
) -> HalfCard:
    """The feature holder's part of a run; see :func:`train_label_holder`."""
    design, features = _prepare(binning, columns, settings, constant=False)
    start = np.zeros(design.features, dtype=np.uint64)
    weights = _train(1, features, None, settings, root, label_holder, dealer, start, progress)
    log_odds, _ = design.log_odds(decode(weights, WEIGHT_BITS))
    return HalfCard.of(settings.scale, design.binning, log_odds, None)


def send_points(half: HalfCard, columns: Columns, label_holder: PeerChannel) -> None:
    """A feature holder sends its points of people, to score them."""
    send(label_holder, "points", 0, half.score(half.binning.encode(columns)))


def receive_points(feature_holder: PeerChannel, rows: int) -> NDArray[np.int64]:
    """What :func:`send_points` sent for so many people, shape (rows,)."""
    points: NDArray[np.int64] = receive(feature_holder, "points", 0, "i8", rows)
    return points


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def _prepare(
    binning: Binning, columns: Columns, settings: ScorecardSettings, *, constant: bool
) -> tuple[Design, Ring]:
    if not MIN_ROWS <= _rows(columns) <= MAX_ROWS:
        raise ConfigurationError("config.bad-data", f"a scorecard needs {MIN_ROWS} to {MAX_ROWS} rows")
    codes = binning.encode(columns)
    design = Design.fit(binning, codes, settings, constant=constant)
    return design, design.rows_in_ring(codes)


def _train(
    party: int,
    features: Ring,
    labels: NDArray[np.bool_] | None,
    settings: ScorecardSettings,
    root: bytes,
    peer: PeerChannel,
    dealer: PeerChannel,
    start: Ring,
    progress: Progress,
) -> Ring:
    rows, own = features.shape
    said = {"settings": settings.digest, "rows": rows, "root": root.hex()}
    say(peer, "hello", 0, {**said, "features": own})
    header = hear(peer, "hello", 0)
    other = header.pop("features", None)
    if header != said:
        raise ProtocolError(
            "protocol.malformed", f"{peer.peer} comes with other settings, other people or another order"
        )
    if not isinstance(other, int) or not 1 <= other <= MAX_FEATURES:
        raise ProtocolError("protocol.malformed", f"{peer.peer} has an impossible number of features")
    sizes = sizes_of(rows, (own, other) if party == 0 else (other, own), settings)
    coin = _toss(party, coin_toss(settings.digest, root), peer)
    say(dealer, "sizes", 0, {"rows": rows, "features": [*sizes.features]})
    half = Half(party, features, labels, peer, dealer, _seed(dealer), coin, sizes, settings)
    return half.train(start, progress)


def _toss(party: int, tossed: Toss, peer: PeerChannel) -> bytes:
    own = os.urandom(COIN_BYTES)
    if party == 0:
        return toss_first(peer, tossed, _BOUND, own)
    _, arrays = hear_step(peer, COMMIT)
    return toss_second(peer, tossed, _BOUND, own, arrays)


def _seed(dealer: PeerChannel) -> bytes:
    match hear(dealer, "seed", 0):
        case {"seed": str(text), **rest} if not rest and len(text) == 2 * SEED_BYTES:
            try:
                return bytes.fromhex(text)
            except ValueError:
                pass
    raise ProtocolError("protocol.malformed", "the dealer sent no seed")

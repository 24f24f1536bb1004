"""How both parties test what the dealer dealt, before the weights of either are shown.

Label holder and feature holder toss a coin when they begin; the dealer takes no part, and cannot read what
they say. The coin says, for each iteration, which of two masks of each place is used, and a bit for each of
``combinations`` random combinations.

* **Products with features.** A combination is the sum of those iterations whose bit is set. Of the masks v
  from its seed and of what it was dealt, x, the counterpart O makes ``V = R v + v0`` and ``X = R x + x0``; v0
  and x0 serve nothing else, so that V is as random as v0. O sends V and the digest of X; P, who knows U and
  has the same combinations S of its own shares, tests ``X = U V - S``. A wrong number of an iteration slips
  through a combination with a probability of at most 1/2, whatever the error: if it did with its bit set, it
  would not without. That makes ``2^-combinations``.
* **Products of highest bits**, in the same way within an iteration: V is sent to party 0 at once.
* **Waves** are no products. Of each pair of masks the one that is not used is opened, and party 0 compares:
  of k wrong ones none is opened with a probability of at most ``2^-k``.

Nobody raises before the verdicts are told, so that both log the same error.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from hanse.crypto import Toss
from hanse.errors import ProtocolError
from hanse.exchange import PeerChannel
from hanse.learning.vertical.scorecard.dealing import Factors, Own, Products, Shared, Sizes
from hanse.learning.vertical.scorecard.messages import hear, receive, say, send, swap
from hanse.learning.vertical.scorecard.ring import Ring, backward, forward, stream
from hanse.learning.vertical.scorecard.wave import waves_of

Picks = NDArray[np.bool_]


def coin_toss(digest: str, root: bytes) -> Toss:
    """The toss of both parties; the label holder alone has to be bound to its half.

    Args:
        digest: Of the settings.
        root: Of the alignment.
    """
    return Toss("check of a scorecard's dealer", digest.encode() + root)


class Check:
    """One party's part.

    Args:
        coin: The joint one.
        seed: The party's, from the dealer.
        sizes: Of the run.
        party: 0 for the label holder, 1 for the feature holder.
        dealt: What it was dealt for the check alone.
    """

    def __init__(self, coin: bytes, seed: bytes, sizes: Sizes, party: int, dealt: Products) -> None:
        self._coin = coin
        self._sizes = sizes
        self._party = party
        self._own = Factors.for_check(seed, sizes, party)
        self._dealt = dealt
        self._shared = hashlib.sha256()

    def pick(self, iteration: int) -> Picks:
        """Of each place, whether the second mask is used; shape (rows,)."""
        return self._draw("spares", iteration, self._sizes.rows)

    def add(self, iteration: int, own: Factors, dealt: Products) -> None:
        """Adds the products of an iteration to the combinations that its bits say."""
        chosen = np.flatnonzero(self._draw("combinations", iteration, self._sizes.combinations)).tolist()
        for total, one in (
            (self._own.trial, own.trial),
            (self._own.logits, own.logits),
            (self._own.residuals, own.residuals),
            (self._own.gradient, own.gradient),
            (self._dealt.logits, dealt.logits),
            (self._dealt.gradient, dealt.gradient),
        ):
            for row in chosen:
                total[row] += one[0]

    def add_tops(self, iteration: int, peer: PeerChannel, own: Own, shared: Shared) -> None:
        """Tests the products of highest bits of an iteration."""
        bits = self._draw("combinations", iteration, self._sizes.combinations)[:, None].astype(np.uint64)
        combined = bits * shared.tops[0] + shared.tops[1:]
        if self._party:
            send(peer, "tops", iteration, bits * own.tops[0] + own.tops[1:])
        else:
            masks = receive(peer, "tops", iteration, "u8", *combined.shape)
            combined = own.tops[0] * masks - combined
        self._shared.update(combined.tobytes())

    def add_spares(self, iteration: int, peer: PeerChannel, own: Own, shared: Shared, picks: Picks) -> None:
        """Opens the masks of places that are not used."""
        places = np.where(picks, own.places[0], own.places[1])
        waves = np.where(picks, shared.waves[0], shared.waves[1])
        if self._party:
            send(peer, "spares", iteration, places)
        else:
            waves = waves_of(places + receive(peer, "spares", iteration, "u2", self._sizes.rows)) - waves
        self._shared.update(waves.tobytes())

    def conclude(self, peer: PeerChannel, mask: Ring) -> None:
        """Shows the combinations, tests the other party's, and says what came of it.

        Args:
            peer: The other party.
            mask: U of this one.

        Raises:
            ProtocolError: ``vertical.dealing`` at both if either finds that the numbers do not fit together.
        """
        first, own = self._party == 0, self._own
        combinations, rows = own.residuals.shape
        features = self._sizes.features[self._party]
        trial = swap(peer, "proof-trial", 0, own.trial, combinations, features, first=first)
        residuals = swap(peer, "proof-residuals", 0, own.residuals, combinations, rows, first=first)
        products = forward(mask, trial) - own.logits, backward(mask, residuals) - own.gradient
        shared = self._shared.hexdigest()
        say(
            peer,
            "combined",
            0,
            {"products": _digest(self._dealt.logits, self._dealt.gradient), "shared": shared},
        )
        good = hear(peer, "combined", 0) == {"products": _digest(*products), "shared": shared}
        say(peer, "checked", 0, {"good": good})
        if hear(peer, "checked", 0) != {"good": True} or not good:
            raise ProtocolError("vertical.dealing", "the dealer's numbers do not fit together")

    def _draw(self, purpose: str, iteration: int, count: int) -> Picks:
        """Bits of the coin, shape (count,)."""
        drawn = stream(self._coin, purpose, iteration).draw_bytes(-(-count // 8))
        return np.unpackbits(np.frombuffer(drawn, dtype=np.uint8), count=count).astype(np.bool_)


def _digest(*arrays: Ring) -> str:
    state = hashlib.sha256()
    for array in arrays:
        state.update(array.tobytes())
    return state.hexdigest()

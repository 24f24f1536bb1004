"""A feature holder's side of encrypted sums."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import hear_step, malformed, say
from hanse.crypto import COIN_BYTES
from hanse.errors import PolicyError, ProtocolError
from hanse.exchange.peers import PeerChannel
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.vertical.tossing import toss_second
from hanse.learning.vertical.trees.dealing import coin_toss
from hanse.learning.vertical.trees.homomorphic.scheme import Ciphertexts, PublicKey
from hanse.learning.vertical.trees.messages import KEY, SUMS, check_array, hear_array, pieces
from hanse.learning.vertical.trees.one_hot import OneHot
from hanse.learning.vertical.trees.terms import TreesTerms
from hanse.policies.agreement.vertical import MIN_KEY_BITS


class EncryptedAnswers:
    """Adds up ciphertexts; see :class:`hanse.learning.vertical.trees.answers.Answers`.

    Each sum has an encrypted zero of this party in it. Without it, the label holder, who knows the randomness
    of every ciphertext that it sent, could try out which were multiplied, and learn the bins of rows.

    Args:
        terms: The run's.
        one_hot: The rows' bins.
    """

    def __init__(self, terms: TreesTerms, one_hot: OneHot) -> None:
        self._terms = terms
        self._one_hot = one_hot
        self._key: PublicKey | None = None
        self.asked = 0
        self._checks = 0

    def begin(self, dealer: PeerChannel | None) -> None:
        """Without a dealer there is nothing to begin."""

    def open(self, label: PeerChannel) -> None:
        """Receives the label holder's key.

        Raises:
            PolicyError: ``policy.denied`` if it is shorter than the terms say.
            ProtocolError: ``protocol.malformed`` if it is none.
        """
        _, arrays = hear_step(label, KEY)
        if len(arrays) != 1:
            raise malformed(label, "a key has another form")
        try:
            self._key = PublicKey.decode(arrays[0], self._terms.key_bits or MIN_KEY_BITS)
        except ProtocolError as error:
            raise malformed(label, error.detail) from error
        except PolicyError as error:
            raise PolicyError(error.code, f"{label.peer}: {error.detail}") from error

    def answer(self, label: PeerChannel, arrays: tuple[NDArray[Any], ...], most: int) -> None:
        """See :class:`hanse.learning.vertical.trees.answers.Answers`."""
        if self._key is None or len(arrays) != 1:
            raise malformed(label, "a question for sums has another form")
        self.asked += CHANNELS
        if self.asked > most:
            raise malformed(label, "more sums than the run needs")
        key, first = self._key, arrays[0]
        totals = key.zeros(self._one_hot.width)
        for part in pieces(self._terms.rows, key.width):
            shape = (part.stop - part.start, key.width)
            if part.start:
                rows = hear_array(label, SUMS, np.uint8, shape)
            else:
                rows = check_array(label, first, np.uint8, shape)
            try:
                totals = self._added(key, rows, part, totals)
            except ProtocolError as error:
                raise malformed(label, error.detail) from error
        for part in pieces(len(totals), key.width):
            say(label, SUMS, totals[part])

    def check(
        self,
        label: PeerChannel,
        header: Mapping[str, Any],
        arrays: tuple[NDArray[Any], ...],
        entropy: Callable[[int], bytes],
    ) -> bytes:
        """There is no dealer to check: only the coin is tossed."""
        if header.get("batches") != 0:
            raise malformed(label, "batches of a dealer, of whom there is none")
        check, self._checks = self._checks, self._checks + 1
        tossed, own = coin_toss(self._terms.digest, check), entropy(COIN_BYTES)
        return toss_second(label, tossed, self._terms.label_holder, own, arrays)

    def _added(self, key: PublicKey, rows: Ciphertexts, part: slice, totals: Ciphertexts) -> Ciphertexts:
        """Totals of bins and some rows: cells of several columns first, then bins from cells."""
        cells, bins = self._one_hot.cells(part)
        sums = key.sums(rows, cells)
        groups = [[*own, len(sums) + number] for number, own in enumerate(bins)]
        return key.sums(np.concatenate([sums, totals]), groups)

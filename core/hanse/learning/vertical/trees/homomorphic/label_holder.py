"""The label holder's side of encrypted sums."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation.steps import say
from hanse.crypto import COIN_BYTES
from hanse.errors import ProtocolError
from hanse.learning.boosting.splits import CHANNELS
from hanse.learning.vertical.trees.homomorphic.lanes import Lanes
from hanse.learning.vertical.trees.homomorphic.scheme import SecretKey
from hanse.learning.vertical.trees.messages import KEY, SUMS, hear_array, pieces
from hanse.learning.vertical.trees.remote import Integers, Remote
from hanse.learning.vertical.trees.terms import TreesTerms


class EncryptedSums:
    """Asks for sums of what it encrypts; see :class:`hanse.learning.vertical.trees.sums.Others`.

    Every row has a ciphertext in every question, those outside of the nodes one of nothing, so that a feature
    holder does not learn which rows are in them. The key is made for the run and forgotten with it.

    Args:
        terms: The run's.
        remotes: Feature holders.

    Raises:
        ConfigurationError: ``config.invalid`` if the extra ``homomorphic`` is not installed.
    """

    def __init__(self, terms: TreesTerms, remotes: Sequence[Remote]) -> None:
        self._remotes = tuple(remotes)
        self._lanes = Lanes(terms)
        self._key = SecretKey(terms.key_bits or 0)
        self._checks = 0
        for remote in remotes:
            say(remote.channel, KEY, self._key.public.encode())

    def sums(self, secret: NDArray[np.int32], meanwhile: Callable[[], None]) -> Integers:
        """See :class:`hanse.learning.vertical.trees.sums.Others`."""
        nodes = secret.reshape(-1, CHANNELS, secret.shape[1])
        at_once = self._key.message_bits // self._lanes.bits
        found = []
        for start in range(0, len(nodes), at_once):
            some = nodes[start : start + at_once]
            self._ask(self._lanes.pack(some))
            if not start:
                meanwhile()
            totals = some.sum(axis=2, dtype=np.int64).reshape(-1)
            found.append(
                np.concatenate([self._hear(one, len(some), totals) for one in self._remotes], axis=1)
            )
        return np.concatenate(found)

    def check(self, entropy: Callable[[int], bytes]) -> list[bytes]:
        """See :class:`hanse.learning.vertical.trees.sums.Others`."""
        check, self._checks = self._checks, self._checks + 1
        return [remote.toss(0, entropy(COIN_BYTES), check) for remote in self._remotes]

    def _ask(self, numbers: NDArray[np.object_]) -> None:
        for part in pieces(len(numbers), self._key.public.width):
            ciphertexts = self._key.public.encrypt(numbers[part])
            for remote in self._remotes:
                say(remote.channel, SUMS, ciphertexts)

    def _hear(self, remote: Remote, nodes: int, totals: Integers) -> Integers:
        width = self._key.public.width
        ciphertexts = np.concatenate(
            [
                hear_array(remote.channel, SUMS, np.uint8, (part.stop - part.start, width))
                for part in pieces(int(remote.bins.sum()), width)
            ]
        )
        try:
            numbers = self._key.decrypt(ciphertexts, nodes * self._lanes.bits)
            sums = self._lanes.unpack(numbers, nodes)
        except ProtocolError as error:
            raise ProtocolError(error.code, f"{remote.name}: {error.detail}") from error
        return remote.placed(sums.reshape(len(totals), -1), totals)

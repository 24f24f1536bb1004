"""A table of values that does not show its keys: who lacks a key's 48 bytes reads nothing but noise.

Of the three-way tables of Botelho, Pagh and Ziviani ("Simple and space-efficient minimal perfect hash
functions", 2007), as used for oblivious key-value stores (Garimella et al., CRYPTO 2021): each key has a slot
in each of three parts, and the exclusive or of the three, and of a pad that only the key's owner can compute,
is its value. Slots that no key determines are random. With 1.3 slots for each key, the slots are found by
peeling: a slot with one key left determines that key, which is then taken out everywhere.

A key is 48 bytes derived from a point (:func:`hanse.alignment.worker.derive`): 12 are the pad, 12 prove to
the table's maker that somebody knows the key, 24 say where its slots are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.alignment.worker import DERIVED_BYTES
from hanse.errors import TrainingError

VALUE_BYTES: Final = 12
"""96 bits: of 2^40 comparisons (a million with a million) one is wrong with a probability of 2^-56."""

_PARTS: Final = 3
_SLACK: Final = 32
_MOST_TRIES: Final = 100
_HALF: Final = np.uint64(32)

Values = NDArray[np.uint8]
"""So many rows of :data:`VALUE_BYTES`."""


@dataclass(frozen=True, slots=True)
class Table:
    """What is sent.

    Attributes:
        seed: What places depend on: three odd numbers of 64 bits.
        slots: Rows of :data:`VALUE_BYTES`, a multiple of three.
    """

    seed: NDArray[np.uint64]
    slots: Values


def slots_for(keys: int) -> int:
    """Slots of a table for so many keys."""
    return _PARTS * (-(-keys * 13 // 30) + _SLACK)


def proofs(derived: Values) -> Values:
    """The part of each key that proves knowledge of it; no table depends on it."""
    return derived[:, VALUE_BYTES : 2 * VALUE_BYTES]


def build(derived: Values, values: Values, entropy: Callable[[int], bytes]) -> Table:
    """Makes a table.

    Args:
        derived: Keys, rows of 48 bytes; all differ.
        values: Of each key.
        entropy: Gives so many random bytes.

    Raises:
        TrainingError: ``alignment.worker`` if no places fit, which has a negligible probability.
    """
    size = slots_for(len(derived))
    for _ in range(_MOST_TRIES):
        seed = np.frombuffer(entropy(8 * _PARTS), np.uint64) | np.uint64(1)
        places = _places(derived, seed, size)
        if (order := _peel(places, size)) is not None:
            slots = _words(np.frombuffer(entropy(size * VALUE_BYTES), np.uint8).reshape(size, -1)).copy()
            wanted = _words(values) ^ _words(derived[:, :VALUE_BYTES])
            for keys, own in reversed(order):
                slots[own] = 0
                slots[own] = wanted[keys] ^ np.bitwise_xor.reduce(slots[places[keys]], axis=1)
            return Table(seed, slots.view(np.uint8).reshape(size, VALUE_BYTES))
    raise TrainingError("alignment.worker", "no table fits these keys")


def look_up(table: Table, derived: Values) -> Values:
    """The value of each key; noise for a key that has none.

    Args:
        table: Of another party: its slots are a multiple of three and there are some.
        derived: Keys, rows of 48 bytes.
    """
    slots = _words(table.slots)
    found = np.bitwise_xor.reduce(slots[_places(derived, table.seed, len(slots))], axis=1)
    return np.ascontiguousarray(found ^ _words(derived[:, :VALUE_BYTES])).view(np.uint8)


def _words(rows: Values) -> NDArray[np.uint32]:
    return np.ascontiguousarray(rows).view(np.uint32)


def _places(derived: Values, seed: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """The three slots of each key, one in each third."""
    hashes = np.ascontiguousarray(derived[:, 2 * VALUE_BYTES : DERIVED_BYTES]).view(np.uint64)
    part = size // _PARTS
    # Multiply-shift, then a fraction of the part: the key's bytes are random, the seed only chooses anew.
    high = (hashes * seed) >> _HALF
    return ((high * np.uint64(part)) >> _HALF).astype(np.int64) + np.arange(_PARTS) * part


def _peel(places: NDArray[np.int64], size: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]] | None:
    """Which keys each round takes out and which slots determine them; None if some remain."""
    degree = np.bincount(places.reshape(-1), minlength=size)
    sums = np.zeros(size, np.int64)  # of the keys that are left at each slot: with one left, that key
    for part in range(_PARTS):
        np.add.at(sums, places[:, part], np.arange(len(places)))
    order, left = [], len(places)
    single = np.flatnonzero(degree == 1)
    while len(single):
        keys, first = np.unique(sums[single], return_index=True)
        order.append((keys, single[first]))
        left -= len(keys)
        touched = places[keys].reshape(-1)
        np.subtract.at(degree, touched, 1)
        np.subtract.at(sums, touched, np.repeat(keys, _PARTS))
        touched = np.unique(touched)
        single = touched[degree[touched] == 1]
    return None if left else order

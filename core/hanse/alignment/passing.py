"""What both sides of a pass share. A pass finds whom the members have in common by one kind of identifier."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanse.alignment.messages import Entropy, Rows
from hanse.alignment.pool import BLOCK, GroupPool
from hanse.errors import PolicyError

Progress: TypeAlias = Callable[[str, int, int], None]
"""Is told what is being done, how many values are done, and of how many; called often, from one thread."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass.

    Attributes:
        kind: Of the identifiers, for messages.
        context: What hashes depend on beside identifiers, 32 bytes.
        minimum: Fewest people in common; 0 when an earlier pass has already found enough.
        smallest_set: As in the agreement.
        pool: Does the group operations.
        entropy: Where keys, fillers and seeds come from.
        progress: Is told.
    """

    kind: str
    context: bytes
    minimum: int
    smallest_set: int
    pool: GroupPool
    entropy: Entropy
    progress: Progress

    def require_enough(self, count: int) -> None:
        """Ends the alignment when too few people are in common; who they are is not known to anybody then.

        Raises:
            PolicyError: ``alignment.nobody`` or ``alignment.too-few`` (P15).
        """
        if count >= self.minimum:
            return
        if count == 0:
            raise PolicyError(
                "alignment.nobody",
                f"no {self.kind} is in common; compare what the members' columns hold and how it is written",
            )
        raise PolicyError(
            "alignment.too-few",
            f"fewer than {self.minimum} people, the agreement's minimum, are in common by {self.kind}; "
            "who they are was not disclosed",
            rule="P15",
        )


def blocks(rows: Rows) -> Iterator[bytes]:
    """Rows as blocks of bytes, one for each job."""
    for at in range(0, len(rows), BLOCK):
        yield rows[at : at + BLOCK].tobytes()


def permutation(seed: bytes, size: int) -> NDArray[np.int64]:
    """A random order of so many things: that of as many numbers of 64 bits out of SHAKE-256 of the seed."""
    stream = hashlib.shake_256(b"hanse alignment v1 order\0" + seed).digest(8 * size)
    return np.argsort(np.frombuffer(stream, "<u8"), kind="stable")

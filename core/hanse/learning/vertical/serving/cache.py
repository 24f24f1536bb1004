"""Answers of one feature holder that its label holder may keep for a while, in memory alone.

An answer is kept under a keyed hash of the part, of the epoch of the feature holder's consents and of the
person's pseudonym. It is there only while the epoch is the one that the feature holder last told: when it
tells another one, or nothing any more, everything goes, because somebody may have withdrawn there. When a
person withdraws here, that person's answer goes.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Final

MOST_KEPT: Final = 200_000


class AnswerCache:
    """See the module docstring.

    Args:
        part: SHA-256 of the feature holder's signed part.
        key: Random, of this process.
        clock: Monotonic time, seconds.
        most: Most answers; when there are more, the ones that came first go.
    """

    def __init__(self, part: str, key: bytes, clock: Callable[[], float], most: int = MOST_KEPT) -> None:
        self._part = bytes.fromhex(part)
        self._key = key
        self._clock = clock
        self._most = most
        self._epoch: bytes | None = None
        self._kept: dict[bytes, tuple[float, bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def epoch(self) -> bytes | None:
        """The epoch that the feature holder told last; None while it tells nothing."""
        return self._epoch

    def follow(self, epoch: bytes | None) -> None:
        """The feature holder has told an epoch; None when it is not heard any more."""
        if epoch != self._epoch:
            self._kept.clear()
            self._epoch = epoch

    def get(self, ref: str) -> bytes | None:
        """A person's answer; None if none is kept, or its time is over.

        Args:
            ref: Pseudonym.
        """
        if not self._kept:
            return None
        name = self._name(ref)
        found = self._kept.get(name)
        if found is None:
            return None
        if self._clock() < found[0]:
            return found[1]
        del self._kept[name]
        return None

    def put(self, ref: str, answer: bytes, epoch: bytes, keep_s: float) -> None:
        """Keeps an answer, if it may be kept.

        Args:
            ref: Pseudonym.
            answer: What was said.
            epoch: In which it was given; an answer of another one than the last that was told is not kept.
            keep_s: For how long, seconds.
        """
        if epoch != self._epoch or keep_s <= 0:
            return
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[self._name(ref)] = (self._clock() + keep_s, answer)

    def clear(self) -> None:
        """Forgets everybody."""
        self._kept.clear()

    def purge(self, refs: Iterable[str]) -> None:
        """Forgets people who have withdrawn.

        Args:
            refs: Pseudonyms.
        """
        if self._kept:
            for ref in refs:
                self._kept.pop(self._name(ref), None)

    def _name(self, ref: str) -> bytes:
        return hmac.digest(self._key, self._part + (self._epoch or b"") + ref.encode(), hashlib.sha256)

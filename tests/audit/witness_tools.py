"""A log as its key holder can make it, a clock that can be set, and a process that witnesses.

As a program: witness_tools.py STATE KEY_FILE MODE VARIANT, see :func:`main`.
"""

import functools
import os
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hanse.audit.checkpoint import Checkpoint, sign_checkpoint
from hanse.audit.hashes import TreeHashes, consistency_proof, root_at
from hanse.audit.witness import Witness
from hanse.audit.witness_rules import WitnessRefusal
from hanse.audit.witness_state import WitnessState
from hanse.crypto import SigningKey
from hanse.crypto.cosigning import CosignerKey

ORIGIN = "shared.example/log"
LOG_KEY = SigningKey(ORIGIN, bytes(range(32)))


@dataclass
class History:
    """A history of a log, with everything that the holder of its key can do to it."""

    leaves: list[bytes]
    origin: str = ORIGIN
    key: SigningKey = LOG_KEY

    @classmethod
    def of(cls, size: int, variant: str = "") -> "History":
        """Histories of one variant begin alike."""
        return cls([f"{variant}{index}".encode() for index in range(size)])

    def branch(self, at: int, variant: str) -> "History":
        """Another history, from an entry on."""
        changed = [leaf + variant.encode() for leaf in self.leaves[at:]]
        return History([*self.leaves[:at], *changed], self.origin, self.key)

    def root(self, size: int) -> bytes:
        return root_at(size, self._hashes)

    def note(self, size: int) -> bytes:
        return sign_checkpoint(Checkpoint(self.origin, size, self.root(size)), self.key)

    def proof(self, old_size: int, size: int) -> tuple[bytes, ...]:
        return consistency_proof(old_size, size, self._hashes)

    def show(self, witness: Witness, size: int) -> str:
        """Has a checkpoint cosigned the way it is meant to be."""
        old = 0 if witness.newest is None else min(witness.newest.checkpoint.size, size)
        stated = 0 if witness.newest is None else witness.newest.checkpoint.size
        return witness.add_checkpoint(stated, self.proof(old, size), self.note(size))

    @functools.cached_property
    def _hashes(self) -> TreeHashes:
        return TreeHashes.of_leaves(self.leaves)


@dataclass
class SetClock:
    """Stands still until it is set."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def dying_clock() -> datetime:
    """Kills the process where a witness looks at the time: after its checks, before anything is kept."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def system_clock() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    """Cosigns growing sizes of the history that the process' variant names, until refused or done.

    Modes: ``run`` tells the size and root of each cosignature; ``before`` dies before anything is kept;
    ``between`` dies when it is kept and nobody was told.
    """
    path, key_file, mode, variant = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    clock = dying_clock if mode == "before" else system_clock
    state = WitnessState.open(path)
    witness = Witness(ORIGIN, [LOG_KEY.verifier], CosignerKey.load(key_file), state, clock)
    history = History.of(400, variant)
    tell("ready")
    sys.stdin.readline()
    for size in range(1, 400):
        try:
            if witness.newest is not None and witness.newest.checkpoint.size > size:
                continue
            history.show(witness, size)
        except WitnessRefusal as refusal:
            tell(f"refused {size} {refusal.kind}")
            continue
        if mode == "between":
            os.kill(os.getpid(), signal.SIGKILL)
        tell(f"cosigned {size} {history.root(size).hex()}")


if __name__ == "__main__":
    main()

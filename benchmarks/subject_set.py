"""The set of a million admitted subjects: made, proven and checked; and what a round of a member pays for it.

See README.md in this folder for what is measured and how.
"""

import hashlib
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from common import Figure, Options, finish, parse_options
from hanse.audit.subject_set import (
    Epoch,
    SubjectSet,
    check_proof,
    encode_proof,
    parse_proof,
    subject_tag,
    subject_tags,
)
from hanse.policies import ConsentLedger
from hanse.policies.subject_sets import SubjectSets

SUBJECTS: Final = 1_000_000
PROOFS: Final = 2_000
EPOCH: Final = Epoch("ab" * 32, "run-20260301-090000-0a1b2c", 1)
NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)


def cpu_s(work: Callable[[], object]) -> float:
    """Seconds of one core that some work takes, however busy the machine is."""
    started = time.process_time()
    work()
    return time.process_time() - started


def build(keys: list[bytes]) -> tuple[SubjectSet, float]:
    """The set, and how long it took: tags, sorting, tree."""
    started = time.process_time()
    made = SubjectSet(subject_tags(keys, EPOCH))
    return made, time.process_time() - started


def proofs(made: SubjectSet, keys: list[bytes]) -> Iterator[Figure]:
    """Sizes of proofs, and how fast they are made, and checked as a subject does: from bytes and secret."""
    strangers = [secrets.token_bytes(32) for _ in range(PROOFS)]
    bars = {"inclusion": 700, "non-inclusion": 1500}
    for name, asked in (("inclusion", keys[:PROOFS]), ("non-inclusion", strangers)):
        tags = subject_tags(asked, EPOCH)
        started = time.process_time()
        shown = [encode_proof(made.prove(tag)) for tag in tags]
        made_s = time.process_time() - started

        def check(asked: list[bytes] = asked, shown: list[bytes] = shown) -> set[bool]:
            pairs = zip(asked, map(parse_proof, shown), strict=True)
            return {check_proof(proof, subject_tag(own, EPOCH), made.root, SUBJECTS) for own, proof in pairs}

        if check() != {name == "inclusion"}:
            sys.exit(f"a proof of {name} says the opposite")
        checked_s = cpu_s(check)
        yield Figure(f"{name} proof, largest of {PROOFS:,}", max(map(len, shown)), "bytes", bars[name])
        yield Figure(f"{name} proofs made", PROOFS / made_s, "per second")
        yield Figure(f"{name} proofs checked", PROOFS / checked_s, "per second")


def at_the_member(made: SubjectSet, folder: Path) -> Iterator[Figure]:
    """What the first round of a member costs, and one in which others are admitted than before."""
    refs = [hashlib.md5(str(number).encode()).hexdigest() for number in range(SUBJECTS)]  # noqa: S324 - names
    with ConsentLedger(folder / "consent.db") as ledger:
        first_s = cpu_s(lambda: ledger.secrets_of(refs, NOW))
        again_s = cpu_s(lambda: ledger.secrets_of(refs, NOW))
    yield Figure("secrets of a million, made", first_s, "s of one core")
    yield Figure("secrets of a million, read", again_s, "s of one core")
    sets = SubjectSets(folder / "subject-sets")
    yield Figure("set kept in a file", cpu_s(lambda: sets.keep(made, EPOCH, NOW)), "s of one core")
    [kept] = sets.kept()
    yield Figure("file of the set", kept.path.stat().st_size / 2**20, "MiB")
    read_s = cpu_s(lambda: sets.open(kept.root, SUBJECTS))
    yield Figure("set read again and checked whole", read_s, "s of one core")


def measure(options: Options) -> Iterator[Figure]:
    """All figures."""
    keys = [secrets.token_bytes(32) for _ in range(SUBJECTS)]
    made, built_s = build(keys)
    yield Figure("set of a million subjects made", built_s, "s of one core", 10)
    yield from proofs(made, keys)
    if not options.quick:
        with tempfile.TemporaryDirectory(prefix="hanse-subject-set-") as folder:
            yield from at_the_member(made, Path(folder))


def main() -> int:
    """Measures, and returns the exit code."""
    options = parse_options(__doc__ or "")
    return finish("Evidence for each of a million subjects, one member", list(measure(options)), options)


if __name__ == "__main__":
    sys.exit(main())

"""How fast entries become durable, next to the disk itself; how fast proofs and a whole log are checked."""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common import Figure, Options
from hanse.audit import (
    Actor,
    AuditLog,
    Checkpoint,
    Counts,
    Event,
    EventType,
    TreeHashes,
    check_inclusion,
    inclusion_proof,
    root_at,
    sign_checkpoint,
    verify_log,
)
from hanse.crypto import SigningKey

BATCH = 100
BATCHES, QUICK_BATCHES = 1_000, 100
SINGLES, QUICK_SINGLES = 1_000, 300
TRIES = 3
PROOF_LEAVES = 1 << 17
PROOFS = 10_000
BAR_ENTRY_US = 50.0  # 20,000 durable entries a second
BAR_TIMES_FLUSH = 1.3
BAR_PROOF_US = 50.0  # 20,000 a second
BAR_REPLAY_US = 1e6 / 150_000  # 150,000 entries a second

KEY = SigningKey("brand.example/log", bytes(range(32)))
ACTOR = Actor(organisation="Brand AG", key_id=KEY.verifier.key_id, role="member")
EVENT = Event(
    type=EventType.ROUND_ADMITTED,
    decision="permit",
    run="run-2026-06-01",
    round=3,
    purpose="joint_modelling.propensity",
    policy_digest="ab" * 32,
    counts=Counts(rows_in=48_211, rows_out=45_004, by_rule={"P01": 2_107, "P10": 1_090, "P02": "<10"}),
    subject_set_root="cd" * 32,
)


def new_log(path: Path) -> AuditLog:
    """An empty log of the benchmark's key."""
    AuditLog.create(path, KEY.name, KEY)
    return AuditLog.open(path, KEY, ACTOR)


def fill(log: AuditLog, entries: int, batch: int) -> float:
    """Appends entries in batches; returns the seconds it took."""
    events = [EVENT] * batch
    started = time.perf_counter()
    for _ in range(entries // batch):
        log.append(*events)
    return time.perf_counter() - started


def seconds(work: Callable[[], object], clock_s: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes, by a clock."""
    started = clock_s()
    work()
    return clock_s() - started


def figures(folder: Path, options: Options) -> list[Figure]:
    """Measures everything that does not depend on the size of the log.

    Each is the best of several tries: other work on a machine only ever slows one. What waits for the disk is
    measured by the clock; what one process computes, in seconds of its core, so that other work counts less.
    """
    path = folder / "log.db"
    log = new_log(path)
    batches = QUICK_BATCHES if options.quick else BATCHES
    entry_us = min(fill(log, BATCH * batches, BATCH) / (BATCH * batches) for _ in range(TRIES)) * 1e6
    entries = log.size
    replay_us, parsed_us = (
        min(seconds(partial(verify_log, path, KEY.verifier, detailed=detailed)) for _ in range(TRIES))
        / entries
        * 1e6
        for detailed in (False, True)
    )
    singles = QUICK_SINGLES if options.quick else SINGLES
    append_s, flush_s = min(_side_by_side(log, path, singles) for _ in range(TRIES))
    return [
        Figure(f"durable append in batches of {BATCH}", entry_us, "µs/entry", BAR_ENTRY_US),
        Figure("durable append of one entry, median", append_s * 1e3, "ms"),
        Figure("the disk's own write and flush of as many bytes, median", flush_s * 1e3, "ms"),
        Figure("append of one entry, next to the disk's flush", append_s / flush_s, "times", BAR_TIMES_FLUSH),
        Figure("signature over a checkpoint, part of every append", _signature_s() * 1e3, "ms"),
        Figure(
            f"inclusion proof checked, {PROOF_LEAVES:,} leaves", _proof_us(), "µs of a core", BAR_PROOF_US
        ),
        Figure(f"full replay of {entries:,} entries", replay_us, "µs/entry", BAR_REPLAY_US),
        Figure("the same, with every field of every entry validated", parsed_us, "µs/entry"),
    ]


def _side_by_side(log: AuditLog, path: Path, times: int) -> tuple[float, float]:
    """Median seconds of an append of one entry, and of writing and flushing as many bytes to a plain file.

    By turns, so that both meet the same moments of the disk.
    """
    appends, flushes = [], []
    descriptor = os.open(path.with_name("plain"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(times):
        before_bytes = _written_bytes()
        appends.append(seconds(lambda: log.append(EVENT)))
        data = bytes(_written_bytes() - before_bytes)
        flushes.append(seconds(partial(_write_and_flush, descriptor, data)))
    os.close(descriptor)
    return statistics.median(appends), statistics.median(flushes)


def _written_bytes() -> int:
    """Bytes that this process has handed to the operating system so far."""
    with open("/proc/self/io", encoding="ascii") as file:  # noqa: PTH123 - one call less between two readings
        return int(next(line for line in file if line.startswith("wchar")).split()[1])


def _write_and_flush(descriptor: int, data: bytes) -> None:
    os.write(descriptor, data)
    os.fsync(descriptor)


def _signature_s() -> float:
    """Seconds to sign a checkpoint."""
    checkpoint = Checkpoint(KEY.name, PROOF_LEAVES, bytes(32))
    return statistics.median(seconds(partial(sign_checkpoint, checkpoint, KEY)) for _ in range(PROOFS // 10))


def _proof_us() -> float:
    """Microseconds to check one inclusion proof, each of another entry."""
    leaves = [number.to_bytes(8, "big") * 50 for number in range(PROOF_LEAVES)]
    hashes = TreeHashes.of_leaves(leaves)
    root = root_at(PROOF_LEAVES, hashes)
    chosen = [number * 7919 % PROOF_LEAVES for number in range(PROOFS)]
    proofs = [(index, inclusion_proof(index, PROOF_LEAVES, hashes)) for index in chosen]

    def check() -> None:
        for index, proof in proofs:
            check_inclusion(leaves[index], index, PROOF_LEAVES, root, proof)

    return min(_core_s(check) for _ in range(TRIES)) / PROOFS * 1e6


def _core_s(work: Callable[[], object]) -> float:
    """Seconds of a core that one call takes."""
    return seconds(work, time.process_time)

"""A run of vertical trees in processes: label holder, feature holder and, where there is one, dealer."""

import itertools
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from hanse.client.vertical.conversations import conversation_digest
from hanse.client.vertical.unfinished import Unfinished
from hanse.exchange.transcript import Transcript
from hanse.learning.vertical.leakage import WatchedTrees
from hanse.learning.vertical.trees import (
    Dealer,
    FeatureHolder,
    LabelHolder,
    TreesTerms,
    answer_request,
    request_scores,
)
from vertical_parts.tables import FEATURE, LABEL, Table
from vertical_parts.wire import SocketChannel, loopback_pair

DEALER: Final = "dealer"
_MIB: Final = 2.0**20


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took one party.

    Attributes:
        seconds: On the clock, from the first message to the last of the training.
        cpu_s: Processor time of the same.
        peak_mib: Most memory of the process.
        sent_mib: Of all messages.
        messages: Sent.
    """

    seconds: float
    cpu_s: float
    peak_mib: float
    sent_mib: float
    messages: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        costs: By party.
        scores: Of the rows to test by.
        trees: How many.
        cuts: Of the feature holder, how many the model uses.
        first_tree_s: From the beginning until the first tree was done.
        later_cpu_s: Processor time of the label holder for each tree after the first; NaN for one tree.
    """

    costs: Mapping[str, Cost]
    scores: NDArray[np.float64]
    trees: int
    cuts: int
    first_tree_s: float
    later_cpu_s: float

    @property
    def cpu_s_per_tree(self) -> float:
        """Processor time of everybody together, the beginning and the check in it."""
        return sum(cost.cpu_s for cost in self.costs.values()) / self.trees

    @property
    def seconds(self) -> float:
        """On the label holder's clock."""
        return self.costs[LABEL].seconds

    @property
    def sent_mib_per_tree(self) -> float:
        """Of everybody, the beginning and the check in it."""
        return sum(cost.sent_mib for cost in self.costs.values()) / self.trees


def run(
    table: Callable[[], Table], rows: int, key_bits: int | None = None, *, points: bool = False
) -> Outcome:
    """Runs the parties, each in a process of its own.

    Args:
        table: Makes the table; each process reads its own half.
        rows: Aligned rows.
        key_bits: Of the key under which sums are encrypted; None for a dealer.
        points: Whether the parties keep how far they have come, as nodes do.
    """
    parties: tuple[str, ...] = (LABEL, FEATURE, DEALER) if key_bits is None else (LABEL, FEATURE)
    links: dict[tuple[str, str], Any] = {pair: loopback_pair() for pair in itertools.combinations(parties, 2)}
    with tempfile.TemporaryDirectory(prefix="hanse-vertical-") as name:
        folder = Path(name)
        processes = [
            multiprocessing.get_context("fork").Process(
                target=_process,
                args=(
                    party,
                    table,
                    rows,
                    key_bits,
                    _channels(party, links),
                    folder / "kept" if points else None,
                    folder,
                ),
            )
            for party in parties
        ]
        for process in processes:
            process.start()
        for pair in links.values():
            for end in pair:
                end.close()
        _wait_for(processes)
        if any(process.exitcode for process in processes):
            sys.exit("a party has failed")
        found = {party: json.loads((folder / party).read_text()) for party in parties}
        scores = np.load(folder / "scores.npy", allow_pickle=False)
    label = found[LABEL]
    costs = {party: Cost(**one["cost"]) for party, one in found.items()}
    return Outcome(costs, scores, label["trees"], label["cuts"], label["first_tree_s"], label["later_cpu_s"])


def _wait_for(processes: list[Any]) -> None:
    """Waits for all; where one fails the others, which would wait for it for ever, are ended."""
    waiting = {process.sentinel: process for process in processes}
    while waiting:
        for sentinel in connection.wait(list(waiting)):
            done = waiting.pop(sentinel)
            done.join()
            if done.exitcode:
                for other in waiting.values():
                    other.terminate()


def _channels(party: str, links: Mapping[tuple[str, str], Any]) -> dict[str, SocketChannel]:
    channels = {}
    for (one, other), (first, second) in links.items():
        if party == one:
            channels[other] = SocketChannel(_name(other), first)
        elif party == other:
            channels[one] = SocketChannel(_name(one), second)
    return channels


def _name(party: str) -> str:
    return "" if party == DEALER else party


def _process(
    party: str,
    make: Callable[[], Table],
    rows: int,
    key_bits: int | None,
    channels: dict[str, SocketChannel],
    kept: Path | None,
    folder: Path,
) -> None:
    """One process; it ends without the parent's exit handlers."""
    try:
        work = {LABEL: _label, FEATURE: _feature, DEALER: _deal}[party]
        table = make()
        place = None if kept is None else kept / party
        result = work(table, _terms(table, rows, key_bits), channels, place, folder)
        (folder / party).write_text(json.dumps(result))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent is told by the exit code
        traceback.print_exc()
        os._exit(1)
    time.sleep(0.2)  # for the threads that write
    os._exit(0)


def _terms(table: Table, rows: int, key_bits: int | None) -> TreesTerms:
    return TreesTerms(
        settings=table.settings,
        label_holder=LABEL,
        feature_holders=(FEATURE,),
        rows=rows,
        key_bits=key_bits,
    )


class _Clock:
    def __init__(self) -> None:
        self._s, self._cpu_s = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._s

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu_s

    def cost(self, channels: Mapping[str, SocketChannel]) -> dict[str, Any]:
        return asdict(
            Cost(
                self.seconds,
                self.cpu_s,
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                sum(one.sent_bytes for one in channels.values()) / _MIB,
                sum(one.sent_messages for one in channels.values()),
            )
        )


class _Keeper:
    """Keeps points as a node does; see :class:`hanse.learning.vertical.trees.points.Keeper`."""

    def __init__(self, folder: Path, peer: Transcript, watched: WatchedTrees | None) -> None:
        self._files = Unfinished(folder)
        self._peer = peer
        self._watched = watched

    def load(self) -> dict[str, bytes]:
        return {}

    def keep(self, files: Mapping[str, bytes]) -> None:
        sent = (
            {} if self._watched is None else {"sent.safetensors": save(dict(self._watched.channel.tables()))}
        )
        self._files.keep({**sent, **files})

    def said(self, peer: str) -> str:
        return conversation_digest(FEATURE if peer == LABEL else LABEL, self._peer)

    def goes_on(self, digest: str) -> None:
        raise AssertionError(digest)


def _label(
    table: Table, terms: TreesTerms, channels: dict[str, SocketChannel], kept: Path | None, folder: Path
) -> dict[str, Any]:
    columns, labels, binning = table.columns(LABEL), table.labels, table.binning(LABEL)
    clock = _Clock()
    holder = LabelHolder(terms, binning, columns, labels)
    done: list[tuple[float, float]] = []
    peer = Transcript(channels[FEATURE])
    watched = WatchedTrees(peer, terms.rows) if kept is not None else None
    keeper = None if kept is None else _Keeper(kept, peer, watched)
    part = holder.train(
        {FEATURE: peer if watched is None else watched.channel},
        channels.get(DEALER),
        os.urandom,
        lambda _: done.append((clock.seconds, clock.cpu_s)),
        keeper,
    )
    cost = clock.cost(channels)
    tests = table.tests(LABEL)
    asked = np.arange(len(table.test_labels))
    scores = request_scores(part, {FEATURE: channels[FEATURE]}, asked, tests)
    np.save(folder / "scores.npy", scores[:, 0])
    trees = part.trees.forest
    return {
        "cost": cost,
        "trees": len(trees),
        "cuts": part.description.holders[0].cuts,
        "first_tree_s": done[0][0],
        "later_cpu_s": (done[-1][1] - done[0][1]) / (len(done) - 1) if len(done) > 1 else float("nan"),
    }


def _feature(
    table: Table, terms: TreesTerms, channels: dict[str, SocketChannel], kept: Path | None, folder: Path
) -> dict[str, Any]:
    del folder
    columns, binning = table.columns(FEATURE), table.binning(FEATURE)
    clock = _Clock()
    peer = Transcript(channels[LABEL])
    keeper = None if kept is None else _Keeper(kept, peer, None)
    holder = FeatureHolder(terms, binning, columns, keeper=keeper)
    part = holder.take_part({LABEL: peer}, channels.get(DEALER), os.urandom)
    cost = clock.cost(channels)
    tests = table.tests(FEATURE)
    if part.cuts:
        answer_request(part, channels[LABEL], lambda asked: {k: v[asked] for k, v in tests.items()})
    return {"cost": cost}


def _deal(
    table: Table, terms: TreesTerms, channels: dict[str, SocketChannel], kept: Path | None, folder: Path
) -> dict[str, Any]:
    del folder, table, kept
    clock = _Clock()
    Dealer(terms).deal(channels, os.urandom)
    return {"cost": clock.cost(channels)}

"""Whole runs of vertical trees within one process, a thread for each party."""

import os
import platform
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.boosting.boosting_data import BINNING, Table

from hanse.aggregation import InProcessAggregator
from hanse.exchange.peers import MemoryChannel, memory_pair
from hanse.exchange.transcript import Transcript
from hanse.learning.boosting import (
    BinnedColumn,
    Binning,
    BoostedTrees,
    BoostingContributor,
    BoostingCoordinator,
    BoostingSettings,
)
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.trees import (
    Dealer,
    FeatureHolder,
    FeaturePart,
    LabelHolder,
    LabelPart,
    TreesTerms,
)

LABEL = "brand"
OWN = Binning(columns=BINNING.columns[:1])
SETTINGS = BoostingSettings(trees=4, depth=3, min_rows=5, learning_rate=0.3, category_l2=1.0)


def need_homomorphic() -> None:
    """Skips where the library of encrypted sums is not installed; continuous integration must have it."""
    built = sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 12)
    if os.environ.get("CI") != "1" or not built:
        pytest.importorskip("heu", reason="the extra homomorphic (sf-heu) is not installed")


class Recorder:
    """A channel that keeps every message that its party receives."""

    def __init__(self, channel: MemoryChannel) -> None:
        self._channel = channel
        self.peer = channel.peer
        self.heard: list[bytes] = []

    def send(self, body: bytes) -> None:
        self._channel.send(body)

    def receive(self) -> bytes:
        self.heard.append(self._channel.receive())
        return self.heard[-1]

    def close(self) -> None:
        self._channel.close()


@dataclass
class Run:
    """Everybody's end of a run."""

    label: LabelHolder
    features: dict[str, FeatureHolder]
    dealer: Dealer
    terms: TreesTerms
    parts: dict[str, Any] = field(default_factory=dict)
    heard: dict[str, list[bytes]] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)

    @property
    def label_part(self) -> LabelPart:
        part = self.parts[LABEL]
        assert isinstance(part, LabelPart)
        return part


def make_terms(
    table: Table, settings: BoostingSettings, holders: Mapping[str, list[int]], **changed: Any
) -> TreesTerms:
    return TreesTerms(
        settings=settings,
        label_holder=LABEL,
        feature_holders=tuple(holders),
        rows=len(table.labels),
        min_bin_rows=changed.pop("min_bin_rows", 5),
        **changed,
    )


def make_run(
    table: Table,
    settings: BoostingSettings = SETTINGS,
    holders: Mapping[str, list[int]] | None = None,
    dealer: type[Dealer] = Dealer,
    **changed: Any,
) -> Run:
    """The parties, with columns of the common table divided between them."""
    divided = {"insurer": [1, 2]} if holders is None else holders
    terms = make_terms(table, settings, divided, **changed)
    label = LabelHolder(
        terms,
        OWN,
        table.columns,
        table.labels,
        weights=table.weights,
        validation=table.validation,
        coins=SecureRandom(bytes(32)),
    )
    features = {
        name: FeatureHolder(terms, Binning(columns=tuple(BINNING.columns[c] for c in columns)), table.columns)
        for name, columns in divided.items()
    }
    return Run(label, features, dealer(terms), terms)


def conduct(run: Run, entropy: Callable[[int], bytes] = os.urandom) -> Run:
    """Lets the parties talk; what goes wrong is in ``errors``."""
    peers: dict[str, Recorder] = {}
    ends: dict[str, Recorder] = {}
    members: dict[str, Recorder] = {}
    dealers: dict[str, Recorder] = {}
    for name in run.features:
        peers[name], ends[name] = _pair(LABEL, name)
    for name in (LABEL, *run.features):
        dealers[name], members[name] = _pair(name, "")
    with_dealer = bool(peers) and run.terms.key_bits is None
    works: dict[str, Callable[[], Any]] = {
        LABEL: lambda: run.label.train(peers, dealers[LABEL] if with_dealer else None, entropy),
    }
    if with_dealer:
        works[""] = lambda: run.dealer.deal(members, entropy)
    for name, holder in run.features.items():
        works[name] = _work(holder, Transcript(ends[name]), dealers[name] if with_dealer else None, entropy)
    everything = [*peers.values(), *ends.values(), *members.values(), *dealers.values()]
    with ThreadPoolExecutor(len(works)) as pool:
        futures = {name: pool.submit(_guarded, work, everything) for name, work in works.items()}
    errors = {name: error for name, future in futures.items() if (error := future.exception())}
    run.errors = errors
    if not errors:
        run.parts = {name: future.result() for name, future in futures.items()}
    run.heard = {name: ends[name].heard for name in run.features}
    run.heard[""] = [body for one in members.values() for body in one.heard]
    run.heard[LABEL] = [body for one in peers.values() for body in one.heard]
    return run


def _work(
    holder: FeatureHolder, label: Transcript, dealer: Recorder | None, entropy: Callable[[int], bytes]
) -> Callable[[], FeaturePart]:
    return lambda: holder.take_part({LABEL: label}, dealer, entropy)


def _guarded(work: Callable[[], Any], channels: list[Recorder]) -> Any:
    """A party that fails ends its conversations, as it does when its process ends."""
    try:
        return work()
    except BaseException:
        for channel in channels:
            channel.close()
        raise


def _pair(one: str, other: str) -> tuple[Recorder, Recorder]:
    first, second = memory_pair(one, other)
    return Recorder(first), Recorder(second)


def pooled(run: Run, table: Table, settings: BoostingSettings) -> BoostedTrees:
    """The plaintext engine on all columns in one place, as they are shown, with gradients as exact."""
    codes = [OWN.encode(table.columns), *(holder.codes for holder in run.features.values())]
    layouts = [OWN.layout, *(holder.layout for holder in run.features.values())]
    columns = [
        _column(f"column {number}", count, ordered=ordered)
        for number, (count, ordered) in enumerate(
            pair for layout in layouts for pair in zip(layout.codes, layout.ordered, strict=True)
        )
    ]
    binning = Binning(columns=tuple(columns))
    contributor = BoostingContributor(
        settings,
        binning,
        np.concatenate(codes, axis=1),
        table.labels,
        weights=table.weights,
        validation=table.validation,
        coins=SecureRandom(bytes(32)),
    )
    return BoostingCoordinator(InProcessAggregator({"all": contributor}), settings, binning).train()


def _column(name: str, count: int, *, ordered: bool) -> BinnedColumn:
    if ordered:
        return BinnedColumn(name=name, kind="numeric", edges=tuple(map(float, range(count - 2))))
    return BinnedColumn(name=name, kind="categorical", categories=tuple(map(str, range(count - 1))))

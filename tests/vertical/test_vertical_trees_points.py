"""Runs of trees that are cut and gone on with: the same model, new secrets, no more questions than agreed."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.boosting.boosting_data import BINNING, Table, make_table
from tests.vertical.trees_run import LABEL, OWN, SETTINGS, make_terms, need_homomorphic

from hanse.aggregation.body import decode_body
from hanse.crypto import canonical_json, sha256_hex
from hanse.errors import HanseError, TrainingError
from hanse.exchange.peers import MemoryChannel, memory_pair
from hanse.exchange.transcript import Transcript
from hanse.learning.boosting import Binning
from hanse.learning.random_source import SecureRandom
from hanse.learning.vertical.trees import Dealer, FeatureHolder, LabelHolder, LabelPart
from hanse.learning.vertical.trees.points import POINT_FILE, FeaturePoint, LabelPoint

HOLDERS = {"insurer": [1], "shop": [2]}
TERMS = SETTINGS.model_copy(update={"trees": 7, "min_rows": 5})


class KilledError(Exception):
    """Where a party's process ends."""


@dataclass
class Memory:
    """A party's disk: what it has when its process ends."""

    files: dict[str, bytes] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    writes: int = 0
    said_to: dict[str, Transcript] = field(default_factory=dict)
    me: str = ""
    before_write: Callable[[int], None] = lambda _: None

    def load(self) -> dict[str, bytes]:
        return dict(self.files)

    def keep(self, files: Any) -> None:
        self.before_write(self.writes)
        self.writes += 1
        self.files |= files

    def said(self, peer: str) -> str:
        heard = self.said_to[peer]
        return sha256_hex(canonical_json({self.me: heard.sent.digest, peer: heard.received.digest}))

    def goes_on(self, digest: str) -> None:
        self.told.append(digest)


class Cut:
    """A channel of a process that ends when it receives its n-th message; keeps what went through it."""

    def __init__(self, channel: MemoryChannel, last: int | None, kept: list[bytes]) -> None:
        self._channel, self._left, self.kept = channel, last, kept
        self.peer = channel.peer

    def send(self, body: bytes) -> None:
        self._channel.send(body)

    def receive(self) -> bytes:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KilledError
        self.kept.append(self._channel.receive())
        return self.kept[-1]


@dataclass
class Site:
    """The parties of a run over all of its attempts."""

    table: Table
    changed: dict[str, Any] = field(default_factory=dict)
    disks: dict[str, Memory] = field(default_factory=dict)
    heard: dict[str, list[bytes]] = field(default_factory=dict)
    seeds: list[bytes] = field(default_factory=list)

    def disk(self, name: str) -> Memory:
        return self.disks.setdefault(name, Memory(me=name))

    def attempt(self, victim: str = "", last: int | None = None) -> dict[str, Any]:
        """One attempt: each party's part, or the error that it ended with."""
        terms = make_terms(self.table, TERMS, HOLDERS, **({"point_trees": 2} | self.changed))
        label = LabelHolder(terms, OWN, self.table.columns, self.table.labels, coins=SecureRandom(bytes(32)))
        channels: list[MemoryChannel] = []
        ends = {name: self._pair(LABEL, name, channels, victim, last) for name in HOLDERS}
        dealt = {name: self._pair(name, "", channels, "", None) for name in (LABEL, *HOLDERS)}
        works: dict[str, Callable[[], Any]] = {
            LABEL: lambda: label.train(
                self._said(LABEL, {n: a for n, (a, _) in ends.items()}),
                dealt[LABEL][0] if terms.key_bits is None else None,
                os.urandom,
                keeper=self.disk(LABEL),
            )
        }
        if terms.key_bits is None:
            members = {name: end for name, (_, end) in dealt.items()}
            works[""] = lambda: Dealer(terms).deal(members, self._entropy)
        for name, columns in HOLDERS.items():
            holder = Binning(columns=tuple(BINNING.columns[c] for c in columns))
            works[name] = lambda name=name, holder=holder: FeatureHolder(  # type: ignore[misc]
                terms, holder, self.table.columns, SecureRandom(bytes(32)), self.disk(name)
            ).take_part(
                self._said(name, {LABEL: ends[name][1]}),
                dealt[name][0] if terms.key_bits is None else None,
                os.urandom,
            )

        def guarded(work: Callable[[], Any]) -> Any:
            try:
                return work()
            except BaseException as error:  # noqa: BLE001 - what the test is about
                for channel in channels:
                    channel.close()
                return error

        with ThreadPoolExecutor(len(works)) as pool:
            futures = {name: pool.submit(guarded, work) for name, work in works.items()}
        return {name: future.result() for name, future in futures.items()}

    def _entropy(self, size: int) -> bytes:
        self.seeds.append(os.urandom(size))
        return self.seeds[-1]

    def _said(self, me: str, channels: dict[str, Any]) -> dict[str, Any]:
        heard = {name: Transcript(channel) for name, channel in channels.items()}
        self.disk(me).said_to = heard
        return heard

    def _pair(
        self, one: str, other: str, channels: list[MemoryChannel], victim: str, last: int | None
    ) -> tuple[Cut, Cut]:
        first, second = memory_pair(one, other)
        channels += [first, second]
        kept = self.heard.setdefault(f"{other} from {one}", [])
        return (
            Cut(first, last if one == victim else None, []),
            Cut(second, last if other == victim and other else None, kept),
        )

    def scores(self, parts: dict[str, Any]) -> Any:
        label = parts[LABEL]
        assert isinstance(label, LabelPart), parts
        sides = {name: parts[name].sides(self.table.columns) for name in HOLDERS}
        return label.raw(self.table.columns, sides)


@pytest.fixture(scope="module")
def table() -> Table:
    return make_table(np.random.default_rng(3), 300)


@pytest.fixture(scope="module")
def whole(table: Table) -> Any:
    """What an attempt that nothing interrupts gives."""
    site = Site(table)
    parts = site.attempt()
    assert not site.disk(LABEL).told
    return site.scores(parts), parts[LABEL].encode()[1]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([LABEL, *HOLDERS]), st.integers(0, 45)), min_size=1, max_size=3))
def test_a_run_that_is_cut_anywhere_gives_the_same_model(
    table: Table, whole: Any, cuts: list[tuple[str, int]]
) -> None:
    site = Site(table)
    for victim, last in cuts:
        site.attempt(victim, last)
    parts = site.attempt()
    assert np.array_equal(site.scores(parts), whole[0])
    assert parts[LABEL].encode()[1] == whole[1]
    # All parties name the same points, and nothing random is used in two attempts.
    told = [site.disk(name).told for name in (LABEL, *HOLDERS)]
    assert all(set(told[0]) <= set(other) for other in told[1:])
    assert len(set(site.seeds)) == len(site.seeds)
    for name in HOLDERS:
        for step in ("sums", "bins", "seed"):
            sent = [body for body in site.heard[f"{name} from {LABEL}"] if _step(body) == step]
            assert len(set(sent)) == len(sent)


def _step(body: bytes) -> str:
    return str(decode_body(body)[0].get("step"))


@pytest.mark.parametrize("victim", [LABEL, "insurer"])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_whoever_ends_while_it_keeps_a_point(table: Table, whole: Any, victim: str, write: int) -> None:
    """A feature holder keeps a point first: it may have one that the label holder has not."""
    site = Site(table)

    def end(number: int) -> None:
        if number == write:
            raise KilledError

    site.disk(victim).before_write = end
    site.attempt()
    site.disk(victim).before_write = lambda _: None
    parts = site.attempt()
    assert np.array_equal(site.scores(parts), whole[0])
    told = [site.disk(name).told for name in (LABEL, *HOLDERS)]
    if victim == LABEL:
        assert told[0]
        assert told[0] == told[1] == told[2]


@pytest.mark.slow
def test_trees_go_on_without_a_dealer(table: Table) -> None:
    need_homomorphic()
    site = Site(table.take(np.arange(60)), {"key_bits": 2048, "point_trees": 1})
    first = Site(site.table, site.changed).attempt()
    site.disk(LABEL).before_write = _end_at(2)
    site.attempt()
    site.disk(LABEL).before_write = lambda _: None
    parts = site.attempt()
    assert np.array_equal(site.scores(parts), site.scores(first))
    assert site.disk(LABEL).told == site.disk("insurer").told != []


def _end_at(write: int) -> Callable[[int], None]:
    def end(number: int) -> None:
        if number == write:
            raise KilledError

    return end


def stopped(table: Table, write: int = 2) -> Site:
    """A run that has two points at the label holder, and three at feature holders."""
    site = Site(table)
    site.disk(LABEL).before_write = _end_at(write)
    site.attempt()
    site.disk(LABEL).before_write = lambda _: None
    return site


def test_a_feature_holder_goes_back_by_one_point_and_no_further(table: Table) -> None:
    site = stopped(table)
    older = Site(table, disks={LABEL: Memory(me=LABEL), "insurer": site.disk("insurer")})
    older.disks["shop"] = site.disk("shop")
    ended = older.attempt()  # a label holder that has forgotten everything
    assert isinstance(ended["insurer"], TrainingError)
    assert ended["insurer"].code == "run.interrupted"
    kept = FeaturePoint.decode(site.disk("insurer").load(), _terms(table))
    assert kept is not None
    digests = [mark.digest for mark in kept.marks]
    assert len(digests) == 3
    assert [kept.at(digest) is not None for digest in ["", *digests]] == [False, False, True, True]


def _terms(table: Table, **changed: Any) -> str:
    return make_terms(table, TERMS, HOLDERS, **({"point_trees": 2} | changed)).digest


def test_what_a_feature_holder_was_asked_counts_over_all_attempts(table: Table) -> None:
    site = stopped(table)
    kept = FeaturePoint.decode(site.disk("insurer").load(), _terms(table))
    assert kept is not None
    terms = make_terms(table, TERMS, HOLDERS, point_trees=2)
    last = kept.marks[-1]
    spent = last.model_copy(update={"asked": terms.max_columns})
    changed = kept.model_copy(update={"marks": (*kept.marks[:-1], spent)})
    site.disk("insurer").files |= changed.encode()
    label = LabelPoint.decode(site.disk(LABEL).load(), terms.digest, terms.exact, OWN)
    assert label is not None
    assert label.digest == kept.marks[-2].digest
    # The label holder's point is the one before: what was asked by then counts.
    assert changed.at(label.digest) is not None
    before = kept.marks[-2].model_copy(update={"asked": terms.max_columns})
    site.disk("insurer").files |= kept.model_copy(
        update={"marks": (*kept.marks[:-2], before, spent)}
    ).encode()
    ended = site.attempt()["insurer"]
    assert isinstance(ended, HanseError)
    assert "more sums than the run needs" in str(ended)


def test_no_more_is_asked_from_one_point_to_the_next_than_trees_need(table: Table) -> None:
    """A label holder that leaves points out is refused: what is asked twice stays bounded."""
    site = Site(table)
    original = LabelHolder._is_point
    try:
        LabelHolder._is_point = lambda self, iterations: False  # type: ignore[method-assign] # noqa: ARG005
        ended = site.attempt()["insurer"]
    finally:
        LabelHolder._is_point = original  # type: ignore[method-assign]
    assert isinstance(ended, HanseError)
    assert "more sums than the run needs" in str(ended)


def test_a_label_holder_that_tells_of_another_conversation_gets_no_point(table: Table) -> None:
    site = Site(table)
    site.disk(LABEL).said = lambda peer: "0" * 64  # type: ignore[method-assign] # noqa: ARG005
    ended = site.attempt()["insurer"]
    assert isinstance(ended, HanseError)
    assert (ended.code, "another conversation" in str(ended)) == ("protocol.malformed", True)
    kept = FeaturePoint.decode(site.disk("insurer").load(), _terms(table))
    assert kept is not None
    assert kept.marks == ()


def test_points_without_trees_between_them_are_refused(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made many points would have many allowances of sums."""
    site, reach = Site(table), LabelHolder._reach

    def twice(self: LabelHolder, engine: Any, remotes: Any, before: Any, keeper: Any) -> Any:
        point = reach(self, engine, remotes, before, keeper)
        others.check(os.urandom)
        return reach(self, engine, remotes, point, keeper)

    others: Any = None
    made = LabelHolder._others

    def noted(self: LabelHolder, dealer: Any, remotes: Any) -> Any:
        nonlocal others
        others = made(self, dealer, remotes)
        return others

    monkeypatch.setattr(LabelHolder, "_others", noted)
    monkeypatch.setattr(LabelHolder, "_reach", twice)
    ended = site.attempt()["insurer"]
    assert isinstance(ended, HanseError)
    assert "a point without a tree more" in str(ended)


def test_a_point_of_other_terms_is_none_to_go_on_from(table: Table) -> None:
    site = stopped(table)
    for name in (LABEL, "insurer"):
        other = Site(table, {"min_bin_rows": 6}, disks={name: site.disk(name)})
        ended = other.attempt()[name]
        assert isinstance(ended, TrainingError)
        assert ended.code == "run.interrupted"


@pytest.fixture(scope="module")
def point(table: Table) -> dict[str, bytes]:
    """Files of a label holder."""
    return stopped(table).disk(LABEL).load()


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_bytes_that_are_no_point(table: Table, point: dict[str, bytes], data: bytes) -> None:
    terms, files = make_terms(table, TERMS, HOLDERS, point_trees=2), point
    for file in sorted(files):
        whole = LabelPoint.decode(files, terms.digest, terms.exact, OWN)
        assert whole is not None
        changed = files | {file: data}
        if file in {POINT_FILE, whole.file}:
            with pytest.raises(TrainingError, match=r"run\.interrupted"):
                LabelPoint.decode(changed, terms.digest, terms.exact, OWN)
        else:  # of a point that the note does not name
            assert LabelPoint.decode(changed, terms.digest, terms.exact, OWN) is not None
    with pytest.raises(TrainingError, match=r"run\.interrupted"):
        FeaturePoint.decode({POINT_FILE: data}, terms.digest)


def test_a_label_holder_that_ends_between_the_files_of_a_point_has_the_one_before(
    table: Table, whole: Any
) -> None:
    site = Site(table)
    disk, keep = site.disk(LABEL), Memory.keep

    def torn(files: Any) -> None:
        first, *_ = files
        if disk.writes == 1:
            keep(disk, {first: files[first]})
            raise KilledError
        keep(disk, files)

    disk.keep = torn  # type: ignore[method-assign]
    site.attempt()
    del disk.keep
    parts = site.attempt()
    assert np.array_equal(site.scores(parts), whole[0])
    assert len(disk.told) == 1


def test_the_label_holder_refuses_columns_that_were_not_shown_before(table: Table) -> None:
    site = stopped(table)
    kept = FeaturePoint.decode(site.disk("insurer").load(), _terms(table))
    assert kept is not None
    column = kept.released[0]
    merged = column.model_copy(
        update={
            "shown": tuple(min(code, column.codes - 2) for code in column.shown),
            "codes": column.codes - 1,
        }
    )
    site.disk("insurer").files |= kept.model_copy(update={"released": (merged,)}).encode()
    ended = site.attempt()[LABEL]
    assert isinstance(ended, HanseError)
    assert "other columns than before" in str(ended)

"""What can be seen of an alignment by who reads every byte of it, and by its members."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from tests.alignment.aligning import Table as Columns
from tests.alignment.aligning import align, connect, make_rules, make_terms

from hanse.aggregation.body import decode_body
from hanse.alignment import label_holder
from hanse.alignment.identifiers import Column, prepare
from hanse.alignment.table import Table, Values, look_up
from hanse.alignment.taking_part import Alignment
from hanse.errors import PolicyError
from hanse.exchange.peers import MemoryChannel

RULES = make_rules(["email", "code"], minimum=40, smallest_set=160)


@dataclass(slots=True)
class Recorded:
    """A channel that remembers what it sends."""

    inner: MemoryChannel
    sent: list[bytes] = field(default_factory=list)

    @property
    def peer(self) -> str:
        return self.inner.peer

    def send(self, body: bytes) -> None:
        self.sent.append(body)
        self.inner.send(body)

    def receive(self) -> bytes:
        return self.inner.receive()

    def close(self) -> None:
        self.inner.close()


def tables(*starts: int, size: int = 120) -> dict[str, Columns]:
    names = ("brand", "insurer", "media")
    return {
        name: {
            "email": [f"canary-{number}@shop.test" for number in range(start, start + size)],
            "code": [f"CANARY{number}" for number in range(start, start + size)],
        }
        for name, start in zip(names, starts, strict=False)
    }


def record(given: Mapping[str, Columns]) -> tuple[dict[str, Alignment | Exception], list[bytes]]:
    channels = {
        name: {peer: Recorded(channel) for peer, channel in ends.items()}
        for name, ends in connect(tuple(given)).items()
    }
    done = align(given, RULES, channels=channels)
    return done, [body for ends in channels.values() for channel in ends.values() for body in channel.sent]


def payload(sent: list[bytes], steps: set[str]) -> bytes:
    parts = [decode_body(body) for body in sent]
    return b"".join(
        array.tobytes() for header, arrays in parts if header["step"] in steps for array in arrays
    )


def test_what_is_sent_holds_no_identifier_and_is_uniform() -> None:
    given = tables(0, 40, 60)
    done, sent = record(given)
    assert all(isinstance(one, Alignment) and len(one.rows) == 60 for one in done.values())
    everything = b"".join(sent)
    prepared = prepare(
        {kind: Column(kind, values) for kind, values in given["brand"].items()}, RULES, "crm.csv", bytes
    )
    canaries = [b"canary", b"shop.test", *(row.tobytes()[:12] for kind, _ in prepared.kinds for row in kind)]
    assert not any(canary in everything.lower() for canary in canaries[:2])
    assert not any(canary in everything for canary in canaries[2:])
    # The label holder says the same to both; the highest bit of a point is always zero.
    points = np.frombuffer(payload(sent, {"blinded", "evaluated"}), np.uint8).reshape(-1, 32)[:, :31]
    points = np.unique(points, axis=0)
    others = np.frombuffer(payload(sent, {"slots", "found"}), np.uint8)
    for values in (points, others):
        counts = np.bincount(values.reshape(-1), minlength=256)
        squares = float((((counts - values.size / 256) ** 2) / (values.size / 256)).sum())
        assert squares < 255 + 6 * np.sqrt(2 * 255)  # chi-square, 255 degrees of freedom, six deviations
    assert len(points) == 2 * 3 * 160  # two passes; what is asked, and two answers


def test_no_run_repeats_a_byte_of_another_and_purposes_have_hashes_of_their_own() -> None:
    given = tables(0, 40)
    runs = [record(given) for _ in range(2)]
    points = [
        {
            part[at : at + 32]
            for part in [payload(sent, {"blinded", "evaluated"})]
            for at in range(0, len(part), 32)
        }
        for _, sent in runs
    ]
    assert not points[0] & points[1]
    roots = {one.root for done, _ in runs for one in done.values() if isinstance(one, Alignment)}
    assert len(roots) == 2  # one for each run
    make = partial(make_terms, ["brand", "insurer"], RULES)
    changed = [make(), make(run="run-2"), make(purpose="joint_modelling"), make(agreement="cd" * 32)]
    assert len({terms.context(kind) for terms in changed for kind in range(2)}) == 8


def test_sizes_show_rounded_up_only() -> None:
    for size in (101, 159):
        done, sent = record({**tables(0, 40), "insurer": tables(0, 0, size=size)["insurer"]})
        assert isinstance(done["brand"], Alignment)
        assert done["brand"].sizes == {"insurer": (160, 160)}
        del sent


@pytest.mark.parametrize(("start", "code"), [(100, "alignment.too-few"), (5000, "alignment.nobody")])
def test_with_too_few_nobody_is_told_whom(start: int, code: str) -> None:
    done, sent = record(tables(0, start))
    for error in done.values():
        assert isinstance(error, PolicyError)
        assert error.code == code
        assert "20" not in error.detail  # how many there are
    steps = [decode_body(body)[0] for body in sent]
    assert not {"order", "found", "coin"} & {str(header["step"]) for header in steps}
    assert [header["count"] for header in steps if header["step"] == "count"] == [int(start == 100)]


def test_the_label_holder_does_not_see_whom_it_shares_with_one_other_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Values] = []

    def spy(table: Table, derived: Values) -> Values:
        seen.append(look_up(table, derived))
        return seen[-1]

    monkeypatch.setattr(label_holder, "look_up", spy)
    # Of the brand's 120, the insurer has 80 and the media house 60, all of these among the 80.
    done = align(tables(0, 40, 60), RULES)
    assert isinstance(done["brand"], Alignment)
    insurer, media = seen[:2]
    assert (insurer == media).all(axis=1).sum() == 60
    # What it read for the 20 that only the insurer has looks as for the 40 that nobody else has.
    for values in (insurer, media):
        assert len(np.unique(values, axis=0)) == len(values)
        assert abs(np.unpackbits(values).mean() - 0.5) < 6 * 0.5 / np.sqrt(values.size * 8)
    # With the feature holders' shares all zero instead, it would have seen them.
    monkeypatch.setattr("hanse.alignment.feature_holder.zero_shares", _zeros)
    seen.clear()
    align(tables(0, 40, 60), RULES)
    assert (~seen[0].any(axis=1)).sum() == 80


def _zeros(hashes: Values, shared: Mapping[str, bytes]) -> Values:
    del shared
    return np.zeros((len(hashes), 12), np.uint8)

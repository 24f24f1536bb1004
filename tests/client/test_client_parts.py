"""A member's part of a phase: what it answers once, what it logs first, and bytes that mean nothing to it."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.aggregation import (
    AgreedTerms,
    FixedPoint,
    Query,
    Scoped,
    SumHistory,
    encode_body,
    from_message,
    to_message,
)
from hanse.api.v1 import round_pb2 as pb
from hanse.client.algorithms.averaging import OfWeights
from hanse.client.parts import Logged, Several
from hanse.client.sums import MemberSums
from hanse.crypto import SigningKey
from hanse.errors import AuditError, HanseError, ProtocolError
from hanse.learning import weights_to_bytes

if TYPE_CHECKING:
    from hanse.aggregation import Vector

WEIGHTS = np.array([1.0, 2.0], dtype=np.float32)
STEP = pb.Train(round=2, state=weights_to_bytes(WEIGHTS))
ENCODING = FixedPoint(10.0, 3, 16, ring_bits=64)


class Zeros:
    """Answers with zeros, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def contribute(self, query: Query) -> Vector:
        self.asked += 1
        return np.zeros(query.length)


def update(round_number: int = 2, weights: Any = WEIGHTS) -> Query:
    return Query("model.update", encode_body({"round": round_number}, weights), 5, ENCODING)


@pytest.mark.parametrize(
    "other", [update(1), update(3), update(weights=WEIGHTS + 1), update(weights=WEIGHTS[:1])]
)
def test_no_other_round_or_weights_than_the_phases(other: Query) -> None:
    zeros = Zeros()
    with pytest.raises(ProtocolError) as error:
        OfWeights(zeros, STEP).contribute(other)
    assert error.value.code == "protocol.unexpected-step"
    assert not zeros.asked


def test_a_round_is_trained_once() -> None:
    zeros = Zeros()
    member = OfWeights(zeros, STEP)
    assert member.contribute(update()).tolist() == [0.0] * 5
    with pytest.raises(ProtocolError):
        member.contribute(update())
    assert zeros.asked == 1


def test_what_cannot_be_logged_does_not_leave() -> None:
    def fail() -> None:
        raise AuditError("audit.unavailable", "disk full")

    with pytest.raises(AuditError):
        Logged(Zeros(), fail).contribute(update())
    entries: list[str] = []
    member = Logged(Zeros(), lambda: entries.append("entry"))
    member.contribute(update())
    member.contribute(update())
    assert entries == ["entry"]


def test_questions_find_their_contributor() -> None:
    model, scores = Zeros(), Zeros()
    member = Several("model.", model, scores)
    member.contribute(update())
    member.contribute(Query("evaluation.scores", b"", 1, ENCODING))
    assert (model.asked, scores.asked) == (1, 1)


def test_a_question_travels_as_it_is() -> None:
    assert from_message(to_message(update(), 7)) == update()
    assert to_message(update(), 7).sum == 7


@given(
    st.integers(0, 2**32 - 1),
    st.floats(),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 8, 32, 64, 2**31]),
)
def test_any_question_is_one_or_is_refused(
    length: int, bound: float, contributors: int, fraction_bits: int, ring_bits: int
) -> None:
    message = pb.Question(
        kind="k",
        length=length,
        bound=bound,
        contributors=contributors,
        fraction_bits=fraction_bits,
        ring_bits=ring_bits,
    )
    with suppress(ProtocolError):
        assert to_message(from_message(message), 0) == message


@given(st.binary(max_size=200))
def test_garbage_of_the_coordinator_is_refused_and_answers_nothing(garbage: bytes) -> None:
    key = SigningKey("ann", bytes(31) + b"\x01")
    names = {name: SigningKey(name, name.encode() * 8).verifier for name in ("bobb", "catt")}
    terms = AgreedTerms("a" * 64, "run-1", "a purpose", {"ann": key.verifier, **names}, 3)
    stays = SimpleNamespace(left=SimpleNamespace(require_in=lambda _: None))
    session: Any = SimpleNamespace(
        agreed_terms=lambda: terms, member="ann", sums=SumHistory(), run="run-1", tools=stays
    )
    zeros = Zeros()
    sums = MemberSums(session, key, Scoped(zeros, "0" * 64))
    with pytest.raises(HanseError):
        sums._answer(garbage)
    assert not zeros.asked

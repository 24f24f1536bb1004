"""Calls that share an entry: each can be shown to be in it, and no other; what is read fast is the same."""

import asyncio
import struct
from typing import TYPE_CHECKING, Any, cast

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.conftest import CALLER, GRANTED, PSEUDONYM_KEY, PURPOSE, UNKNOWN, MemberSite, RunningScorer

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.audit import Event, EventType
from hanse.audit.requests import check_request, request_tree
from hanse.audit.tree import root_hash
from hanse.errors import AuditError, ServingError
from hanse.policies import Column
from hanse.server.scoring.call import read_call
from hanse.server.scoring.layouts import Layouts, call_of, subjects_of
from hanse.server.scoring.messages import delimited, fields
from hanse.server.scoring.scorer import request_digest
from hanse.server.scoring.tensors import read_texts

if TYPE_CHECKING:
    from collections.abc import Callable

digests = st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(digests, st.data())
def test_each_request_of_an_entry_is_shown_at_its_place_and_no_other(all_: list[str], data: Any) -> None:
    root, paths = request_tree(all_)
    if len(all_) > 1:
        assert root == root_hash(map(bytes.fromhex, all_)).hex()
    entry = Event(type=EventType.SCORE_ANSWERED, request=root, requests=len(all_) if len(all_) > 1 else None)
    for position, (digest, path) in enumerate(zip(all_, paths, strict=True)):
        check_request(entry, digest, position, path)
    place = data.draw(st.integers(0, len(all_) - 1))
    other = data.draw(st.binary(min_size=32, max_size=32)).hex()
    if other != all_[place]:
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            check_request(entry, other, place, paths[place])
    elsewhere = data.draw(st.integers(0, len(all_)))
    if elsewhere == len(all_) or (elsewhere != place and all_[elsewhere] != all_[place]):
        with pytest.raises(AuditError, match=r"audit\.integrity"):
            check_request(entry, all_[place], elsewhere, paths[place])


def make_request(subjects: tuple[str, ...], number: int = 0) -> oip.ModelInferRequest:
    rows = len(subjects)
    request = oip.ModelInferRequest(model_name="propensity", id=str(number))
    request.parameters["purpose"].string_param = PURPOSE
    for name, datatype in (("subject_id", "BYTES"), ("age", "FP64"), ("job", "BYTES")):
        request.inputs.add(name=name, datatype=datatype, shape=[rows])
    request.raw_input_contents.append(pack(subjects))
    request.raw_input_contents.append(np.linspace(20, 60, rows).astype("<f8").tobytes())
    request.raw_input_contents.append(pack(("admin",) * rows))
    return request


def pack(texts: tuple[str, ...]) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def test_calls_at_once_share_entries_that_say_what_each_call_did(
    site: MemberSite, scorer: RunningScorer
) -> None:
    bodies = [
        make_request((GRANTED[number % 8], UNKNOWN), number).SerializeToString() for number in range(24)
    ]
    nobody = make_request((UNKNOWN,)).SerializeToString()

    async def call_all() -> list[oip.ModelInferResponse]:
        async with grpc.aio.secure_channel(scorer.address, site.credentials(CALLER)) as channel:
            infer: Any = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                response_deserializer=oip.ModelInferResponse.FromString,
            )
            denied = infer(nobody)
            answers = await asyncio.gather(*map(infer, bodies))
            with pytest.raises(grpc.aio.AioRpcError):
                await denied
            return cast("list[oip.ModelInferResponse]", answers)

    before = len(site.entries())
    answers = asyncio.run(call_all())
    entries = site.entries()
    mine = [entry for entry in entries[before:] if entry.type is EventType.SCORE_ANSWERED]
    assert len(mine) < len(bodies)  # otherwise nothing here is tested
    assert sum(entry.requests or 1 for entry in mine) == len(bodies)
    for entry in mine:
        calls = entry.requests or 1
        assert entry.counts is not None
        assert (entry.counts.rows_in, entry.counts.rows_out) == (2 * calls, calls)
        assert entry.counts.by_rule == {"P26": calls}
        assert entry.consent is not None
        assert entry.consent.size == calls
    seen = set()
    for body, answer in zip(bodies, answers, strict=True):
        said = answer.parameters
        position, text = said["log_position"].int64_param, said["log_path"].string_param
        path = [bytes.fromhex(text[start : start + 64]) for start in range(0, len(text), 64)]
        index = said["log_index"].int64_param
        check_request(entries[index], request_digest(PSEUDONYM_KEY, body), position, path)
        seen.add((index, position))
        assert answer.id == oip.ModelInferRequest.FromString(body).id
        np.testing.assert_array_equal(np.isnan(np.frombuffer(answer.raw_output_contents[0], "<f4")), [0, 1])
    assert len(seen) == len(bodies)


AGREEMENT = "0" * 64
RAW = oip.ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number
COLUMNS = tuple(
    Column.model_validate({"name": name, "kind": "numeric", "classification": "basic", "edges": [1.0],
                           "disclosure": [{"to": "members", "form": "model"}]})
    for name in ("a", "b")
)  # fmt: skip
texts = st.text(st.sampled_from(" \t0aZ\x1f\x85é"), max_size=3).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=4),
    st.binary(max_size=3),
    st.lists(st.sampled_from((0.0, 1.5, -3e38, 3e38, float("nan"), float("inf"))), min_size=8, max_size=8),
    st.permutations(("subject_id", "a", "b")),
    st.integers(-1, 1),
    st.sampled_from(("", "7", "x" * 127, "x" * 200, "é")),
)
def test_what_is_read_fast_is_what_is_read_slowly(
    subjects: list[bytes], tail: bytes, numbers: list[float], order: list[str], cut: int, request_id: str
) -> None:
    rows, layouts = len(subjects), Layouts()

    def request(ids: bytes, values: list[float]) -> oip.ModelInferRequest:
        made = oip.ModelInferRequest()
        packed = np.array(values, "<f4").tobytes()
        contents = {"subject_id": ids, "a": packed[: 4 * rows + cut], "b": packed[16 : 16 + 4 * rows]}
        for name in order:
            kind = "BYTES" if name == "subject_id" else "FP32"
            made.inputs.add(name=name, datatype=kind, shape=[rows])
            made.raw_input_contents.append(contents[name])
        return made

    cut, kept = 0, cut
    example = request(pack(("x",) * rows), [1.0] * 8)
    layouts.learn(example.SerializeToString(), example, AGREEMENT, read_call(example, COLUMNS, 10))
    assert layouts.read(example.SerializeToString()) is not None
    cut = kept
    asked = request(b"".join(struct.pack("<I", len(each)) + each for each in subjects) + tail, numbers)
    asked.id = request_id
    fast = layouts.read(asked.SerializeToString())
    found = None if fast is None else subjects_of(fast)
    assert not isinstance(found, np.ndarray)  # so few are a set
    if fast is None or found is None:
        return
    values = np.frombuffer(fast.values, fast.layout.dtype).reshape(-1, rows)
    try:
        slow = read_call(asked, COLUMNS, 10)
    except ServingError:
        # Values are looked at when calls are decided; only subjects of accepted calls are remembered.
        assert not np.isfinite(values).all() or not found <= {text.encode() for text in _accepted(asked)}
        assert call_of(fast) is None
        return
    whole = call_of(fast)
    assert whole is not None
    assert (whole.subjects, whole.outputs, whole.raw) == (slow.subjects, slow.outputs, slow.raw)
    assert whole.columns.keys() == slow.columns.keys()
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(column, slow.columns[name], strict=True)
    assert fast.request_id.decode() == request_id
    assert found == frozenset(name.encode() for name in slow.subjects)
    assert fast.layout.outputs == slow.outputs
    assert fast.layout.names == tuple(name for name in order if name != "subject_id")
    for name, column in zip(fast.layout.names, values, strict=True):
        np.testing.assert_array_equal(column.astype(np.float64), slow.columns[name])


def _accepted(asked: oip.ModelInferRequest) -> tuple[str, ...]:
    """Subjects of a request that would be accepted with other numbers."""
    place = [tensor.name for tensor in asked.inputs].index("subject_id")
    try:
        texts = read_texts(asked.inputs[place], asked.raw_input_contents[place], asked.inputs[place].shape[0])
    except ServingError:
        return ()
    return texts if all(text.strip() for text in texts) else ()


def test_a_request_that_differs_in_anything_else_is_read_slowly() -> None:
    layouts = Layouts()
    example = make_request(("anna",))
    del example.inputs[2], example.raw_input_contents[2]
    columns = (COLUMNS[0].model_copy(update={"name": "age"}),)
    layouts.learn(example.SerializeToString(), example, AGREEMENT, read_call(example, columns, 10))
    assert layouts.read(example.SerializeToString()) is not None
    changes: tuple[Callable[[oip.ModelInferRequest], object], ...] = (
        lambda made: made.inputs[0].parameters["shared_memory_region"].MergeFrom(oip.InferParameter()),
        lambda made: made.outputs.add(name="score"),
        lambda made: made.inputs[1].contents.fp64_contents.append(1.0),
        lambda made: made.inputs[1].shape.append(1),
        lambda made: made.raw_input_contents.append(b""),
        lambda made: made.parameters["purpose"].MergeFrom(
            oip.InferParameter(string_param="x" * len(PURPOSE))
        ),
        lambda made: made.MergeFrom(oip.ModelInferRequest(model_version="1")),
        lambda made: made.MergeFrom(oip.ModelInferRequest(model_name="another")),
    )
    for change in changes:
        changed = oip.ModelInferRequest.FromString(example.SerializeToString())
        change(changed)
        assert layouts.read(changed.SerializeToString()) is None
    # What nobody reads is not remembered beyond a bound.
    padded = example.SerializeToString() + b"\xfa\x07" + b"\x80\x80\x04" + bytes(1 << 16)
    layouts.learn(
        padded, oip.ModelInferRequest.FromString(padded), AGREEMENT, read_call(example, columns, 10)
    )
    assert layouts.read(padded) is None
    assert layouts.read(example.SerializeToString()) is not None
    # Protobuf reads the last id; a second one after all else is not overlooked.
    assert (
        layouts.read(example.SerializeToString() + oip.ModelInferRequest(id="x").SerializeToString()) is None
    )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 15))
def test_a_field_is_written_as_protobuf_writes_it(content: bytes, number: int) -> None:
    written = delimited(number, content)
    response = oip.ModelInferResponse(raw_output_contents=[content])
    assert delimited(RAW, content) == response.SerializeToString()
    twice = written * 2
    found = [(field.number, twice[field.start : field.end]) for field in fields(twice)]
    assert found == [(number, content)] * 2

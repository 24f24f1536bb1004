"""Multiplying eight points at once, against ``cryptography`` and RFC 7748."""

import ctypes
import io
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.alignment import multi_buffer, worker
from hanse.alignment.curve import PRIME, multiply, one_by_one
from hanse.alignment.worker import Job, read_result, serve, write_job
from hanse.errors import TrainingError

# RFC 7748, section 5.2: scalar, u-coordinate, result.
VECTORS = (
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
)
# Not below the prime, and the highest bit set: X25519 reduces the one and drops the other. Just below the
# prime the library is wrong.
EDGES = (PRIME + 9, PRIME - 2, PRIME - 60, 2**256 - 1, 9 + 2**255, 2**255 + PRIME - 1400, 2**254)


@pytest.fixture(autouse=True)
def load_anew() -> Iterator[None]:
    """What a test has loaded is not kept."""
    multi_buffer.load.cache_clear()
    yield
    multi_buffer.load.cache_clear()


def eight_at_once() -> multi_buffer.Multiply:
    """The library, or no test where it cannot be."""
    many = multi_buffer.load(one_by_one)
    if many is None:
        pytest.skip("this processor has no AVX-512 IFMA, or the extra multi-buffer is not installed")
    return many


def wrong(points: Sequence[bytes], key: bytes) -> list[bytes]:
    """X25519 of everything but the first, which is right for whoever looks at one value of many."""
    return [one_by_one([point], key)[0] if at else bytes(32) for at, point in enumerate(points)]


@pytest.mark.parametrize(("scalar", "point", "result"), VECTORS)
def test_the_vectors_of_the_rfc(scalar: str, point: str, result: str) -> None:
    expected = [bytes.fromhex(result)] * 9
    for many in (eight_at_once(), one_by_one, multiply):
        assert many([bytes.fromhex(point)] * 9, bytes.fromhex(scalar)) == expected


@given(st.integers(0, 25), st.binary(min_size=32, max_size=32))
def test_it_is_cryptographys_for_any_number_of_points(count: int, key: bytes) -> None:
    edges = [point.to_bytes(32, "little") for point in EDGES]
    points = list(islice([*edges, *(os.urandom(32) for _ in range(count))], count))
    assert eight_at_once()(points, key) == one_by_one(points, key)


@pytest.mark.parametrize("at", [0, 7, 8, 12])
@pytest.mark.parametrize("low", [0, 1, PRIME - 1, PRIME, PRIME + 1])
def test_the_neutral_element_is_refused_wherever_it_is(at: int, low: int) -> None:
    points = [os.urandom(32) for _ in range(13)]
    points[at] = low.to_bytes(32, "little")
    for many in (eight_at_once(), one_by_one):
        with pytest.raises(ValueError, match=r"neutral element|shared key"):
            many(points, os.urandom(32))


def test_without_the_library_it_is_done_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert multi_buffer.load(one_by_one) is None
    scalar, point, result = map(bytes.fromhex, VECTORS[0])
    assert multiply([point], scalar) == [result]


@pytest.mark.parametrize("error", [OSError("no such instruction"), AttributeError("no such symbol")])
def test_a_library_that_cannot_be_opened_is_not_used(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(multi_buffer, "_path", lambda *_: "library")
    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert multi_buffer.load(one_by_one) is None


def test_wrong_arithmetic_is_found_when_it_is_loaded() -> None:
    with pytest.raises(TrainingError, match=r"alignment\.multi-buffer"):
        multi_buffer.checked(wrong, one_by_one)


def test_arithmetic_that_becomes_wrong_is_found() -> None:
    right = True

    def turning(points: Sequence[bytes], key: bytes) -> list[bytes]:
        return one_by_one(points, key) if right else [bytes(32) for _ in points]

    many = multi_buffer.checked(turning, one_by_one)
    points, key = [os.urandom(32) for _ in range(20)], os.urandom(32)
    assert many(points, key) == one_by_one(points, key)
    right = False
    with pytest.raises(TrainingError, match=r"alignment\.multi-buffer"):
        many(points, key)


def test_a_process_tells_of_wrong_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TrainingError("alignment.multi-buffer", "not X25519")

    monkeypatch.setattr(worker, "multiply", fail)
    jobs, results = io.BytesIO(), io.BytesIO()
    write_job(jobs, Job.MULTIPLY, bytes(32), bytes(32), b"\x09" + bytes(31))
    jobs.seek(0)
    serve(jobs, results)
    results.seek(0)
    with pytest.raises(TrainingError, match="not X25519"):
        read_result(results)

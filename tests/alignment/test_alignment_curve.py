"""Hashing to the curve against RFC 9380, and what the protocol needs of multiplication."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.alignment.curve import ORDER, PRIME, hash_to_field, make_reversible_key, map_to_curve, multiply
from hanse.alignment.pool import BLOCK, GroupPool
from hanse.alignment.worker import LENGTH, Job, compute, read_result, serve, write_job
from hanse.errors import ProtocolError, TrainingError

CONTEXT = b"c" * 32
DST = b"QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_NU_"

# RFC 9380, appendix J.4.2: message, u[0], Q.x, P.x.
VECTORS = (
    (
        b"",
        "608d892b641f0328523802a6603427c26e55e6f27e71a91a478148d45b5093cd",
        "51125222da5e763d97f3c10fcc92ea6860b9ccbbd2eb1285728f566721c1e65b",
        "1bb913f0c9daefa0b3375378ffa534bda5526c97391952a7789eb976edfe4d08",
    ),
    (
        b"abc",
        "46f5b22494bfeaa7f232cc8d054be68561af50230234d7d1d63d1d9abeca8da5",
        "7d56d1e08cb0ccb92baf069c18c49bb5a0dcd927eff8dcf75ca921ef7f3e6eeb",
        "7c22950b7d900fa866334262fcaea47a441a578df43b894b4625c9b450f9a026",
    ),
    (
        b"abcdef0123456789",
        "235fe40c443766ce7e18111c33862d66c3b33267efa50d50f9e8e5d252a40aaa",
        "3fbe66b9c9883d79e8407150e7c2a1c8680bee496c62fabe4619a72b3cabe90f",
        "31ad08a8b0deeb2a4d8b0206ca25f567ab4e042746f792f4b7973f3ae2096c52",
    ),
    (
        b"q128_" + b"q" * 128,
        "001e92a544463bda9bd04ddbe3d6eed248f82de32f522669efc5ddce95f46f5b",
        "227e0bb89de700385d19ec40e857db6e6a3e634b1c32962f370d26f84ff19683",
        "027877759d155b1997d0d84683a313eb78bdb493271d935b622900459d52ceaa",
    ),
    (
        b"a512_" + b"a" * 512,
        "1a68a1af9f663592291af987203393f707305c7bac9c8d63d6a729bdc553dc19",
        "3bcd651ee54d5f7b6013898aab251ee8ecc0688166fce6e9548d38472f6bd196",
        "5fd892c0958d1a75f54c3182a18d286efab784e774d1e017ba2fb252998b5dc1",
    ),
)


def ladder(scalar: int, point: int) -> int:
    """The multiple's first coordinate (RFC 7748, section 5), for any scalar."""
    x2, z2, x3, z3 = 1, 0, point, 1
    for bit in f"{scalar:b}":
        if bit == "1":
            x2, z2, x3, z3 = x3, z3, x2, z2
        plus, minus = (x2 + z2) ** 2, (x2 - z2) ** 2
        cross, other = (x3 - z3) * (x2 + z2), (x3 + z3) * (x2 - z2)
        x3, z3 = (cross + other) ** 2 % PRIME, point * (cross - other) ** 2 % PRIME
        x2, z2 = plus * minus % PRIME, (plus - minus) * (plus + 121665 * (plus - minus)) % PRIME
        if bit == "1":
            x2, z2, x3, z3 = x3, z3, x2, z2
    return x2 * pow(z2, -1, PRIME) % PRIME


def test_identifiers_are_hashed_as_the_rfc_says() -> None:
    messages = [message for message, *_ in VECTORS]
    elements = hash_to_field(messages, DST)
    points = [int.from_bytes(point, "little") for point in map_to_curve(elements)]
    assert [f"{element:064x}" for element in elements] == [vector[1] for vector in VECTORS]
    assert [f"{point:064x}" for point in points] == [vector[2] for vector in VECTORS]
    assert [f"{ladder(8, point):064x}" for point in points] == [vector[3] for vector in VECTORS]


def test_multiplication_clears_the_cofactor() -> None:
    key = os.urandom(32)
    scalar = (int.from_bytes(key, "little") & ((1 << 255) - 8)) | 1 << 254
    _, _, q, p = VECTORS[1]
    (made,) = multiply([bytes.fromhex(q)[::-1]], key)
    assert int.from_bytes(made, "little") == ladder(scalar // 8, int(p, 16))
    # In the subgroup of prime order: one more than the order is one.
    assert ladder(ORDER + 1, int.from_bytes(made, "little")) == int.from_bytes(made, "little")


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3))
def test_a_key_is_undone_under_another(values: list[bytes]) -> None:
    key, undo = make_reversible_key(os.urandom)
    other = os.urandom(32)
    points = map_to_curve(hash_to_field(values, DST))
    assert multiply(multiply(multiply(points, key), other), undo) == multiply(points, other)
    assert all(one[0] % 8 == 0 and one[31] >> 6 == 1 for one in (key, undo))  # X25519 changes neither


def test_the_neutral_element_is_refused() -> None:
    with GroupPool(0) as pool, pytest.raises(ProtocolError, match="a value from media is no point"):
        list(pool.run(Job.MULTIPLY, os.urandom(32), CONTEXT, [bytes(32)], "media"))


def test_processes_compute_the_same() -> None:
    key, values = os.urandom(32), [os.urandom(32 * count) for count in (3, 1, 2)]
    points = [compute(Job.HASH_MULTIPLY, key, CONTEXT, value) for value in values]
    with GroupPool(2) as pool:
        for job in Job:
            made = list(pool.run(job, key, CONTEXT, points, "media"))
            assert made == [compute(job, key, CONTEXT, value) for value in points]


def test_a_process_tells_what_it_cannot_do_and_goes_on() -> None:
    jobs, results = io.BytesIO(), io.BytesIO()
    for values in (bytes(32), b"\x09" + bytes(31)):
        write_job(jobs, Job.MULTIPLY, bytes(32), CONTEXT, values)
    jobs.write(LENGTH.pack(9) + b"cut")
    jobs.seek(0)
    serve(jobs, results)
    results.seek(0)
    assert read_result(results) is None
    assert read_result(results) == compute(Job.MULTIPLY, bytes(32), CONTEXT, b"\x09" + bytes(31))


def test_a_process_that_died_is_named() -> None:
    with GroupPool(1) as pool:
        for process in pool._started:
            process.kill()
            process.wait()
        with pytest.raises(TrainingError, match=r"alignment\.worker"):
            list(pool.run(Job.MULTIPLY, bytes(32), CONTEXT, [bytes(32 * BLOCK)], "media"))

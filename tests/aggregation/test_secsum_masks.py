"""Mask streams are AES-128 in counter mode, from whole seeds of the operating system."""

import hashlib
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR
from tests.aggregation.secure_sums import QUESTION, Federation, drawn_from, staged

import hanse.aggregation.masks
from hanse.aggregation import LocalAggregator
from hanse.aggregation.fixed_point import RingVector
from hanse.aggregation.masks import apply_masks
from hanse.aggregation.member_sum import pair_mask, self_mask

KEY = bytes(range(32))


def times(a: int, b: int) -> int:
    """The product in GCM's field (SP 800-38D, section 6.3, algorithm 1)."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= b if a >> bit & 1 else 0
        b = b >> 1 ^ (0xE1 << 120 if b & 1 else 0)
    return product


def reference(key: bytes, length: int, dtype: str) -> RingVector:
    """The stream by plain counter mode; the first counter is GHASH of the nonce (section 7.1, step 2)."""
    cipher = AES128(key[:16])
    point = int.from_bytes(Cipher(cipher, CTR(bytes(16))).encryptor().update(bytes(16)))
    hashed = times(times(int.from_bytes(key[16:]), point) ^ 128, point)
    first = hashed >> 32 << 32 | (hashed + 1) % (1 << 32)
    assert length * 8 < (2**32 - hashed % 2**32 - 2) * 16  # plain counter mode would carry
    stream = Cipher(cipher, CTR(first.to_bytes(16))).encryptor().update(bytes(length * 8))
    return np.frombuffer(stream, dtype=dtype)[:length]


def test_published_answer() -> None:
    """The reference on the GCM specification's test case 6: GHASH of a long nonce, and what it encrypts."""
    point = 0xB83B533708BF535D0AA6E52980D53B78
    hashed = 0
    nonce = bytes.fromhex(
        "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b52541"
        "6aedbf5a0de6a57a637b39b"
    )
    padded = nonce + bytes(4)
    for start in range(0, len(padded), 16):
        hashed = times(hashed ^ int.from_bytes(padded[start : start + 16]), point)
    assert times(hashed ^ 8 * len(nonce), point) == 0x3BAB75780A31C059F83D2A44752F9864


@pytest.mark.parametrize("dtype", ["<u4", "<u8"])
@pytest.mark.parametrize("length", [0, 1, 5, 16_384, 16_385, 32_768, 32_769, 70_001])
def test_stream_is_counter_mode(dtype: str, length: int) -> None:
    vector = np.zeros(length, dtype)
    apply_masks(vector, [KEY], [])
    assert (vector == reference(KEY, length, dtype)).all()


@pytest.mark.parametrize("dtype", ["<u4", "<u8"])
def test_masks_add_and_cancel_in_the_ring(dtype: str) -> None:
    keys = [hashlib.sha256(bytes([number])).digest() for number in range(5)]
    values = np.arange(40_000, dtype=dtype) - np.array(20_000, dtype)
    vector = values.copy()
    apply_masks(vector, keys[:3], keys[3:])
    expected = values.copy()
    for number, key in enumerate(keys):
        expected = expected + reference(key, 40_000, dtype) * np.array(1 if number < 3 else -1).astype(dtype)
    assert (vector == expected).all()
    apply_masks(vector, keys[3:], keys[:3])
    assert (vector == values).all()


def test_the_package_has_no_other_generator() -> None:
    files = list(Path(hanse.aggregation.masks.__file__).parent.glob("*.py"))
    assert len(files) > 8
    for path in files:
        found = re.search(r"np\.random|numpy\.random|import random|RandomState|default_rng", path.read_text())
        assert found is None, path.name


def test_every_bit_of_a_seed_counts() -> None:
    """256 seeds that differ from one in one bit each give 257 different streams."""
    seeds = [KEY] + [
        bytes(byte ^ (1 << bit if place == at else 0) for place, byte in enumerate(KEY))
        for at in range(32)
        for bit in range(8)
    ]
    streams = set()
    for seed in seeds:
        vector = np.zeros(4, "<u4")
        apply_masks(vector, [seed], [])
        streams.add(vector.tobytes())
    assert len(streams) == 257


def test_seeds_are_drawn_whole_and_fresh_for_every_sum() -> None:
    """Each sum takes two draws of 32 bytes, used as they are; nothing else seeds a mask."""
    drawn: list[bytes] = []
    source = drawn_from("whole")

    def recording(length: int) -> bytes:
        drawn.append(source(length))
        return drawn[-1]

    federation = Federation(3, entropy=recording)
    member = federation.member("m0")
    advertisement = member.open(federation.terms(sums=5).opening())
    secrets = [piece for piece in drawn if len(piece) == 32]
    assert len(drawn) == len(secrets) == 2 * 5 + 1
    assert len(set(secrets)) == len(secrets)
    digests = [hashlib.sha256(piece).digest() for piece in secrets]
    assert sum(digest in advertisement for digest in digests) == 5


def test_another_draw_gives_another_mask() -> None:
    """Whichever draw of a member changes by one bit, its masked vector is another one."""

    def masked(changed: int | None) -> bytes:
        federation = Federation(3, entropy=drawn_from("fixed"))
        stage = staged(federation)
        source, count = drawn_from("m0"), iter(range(100))

        def entropy(length: int) -> bytes:
            piece = bytearray(source(length))
            # Bit 3 of byte 9: X25519 clamps some bits of the first and the last byte.
            piece[9] ^= 8 if next(count) == changed else 0
            return bytes(piece)

        federation.entropy = entropy
        stage.members["m0"] = federation.member("m0")
        stage.prepare()
        return stage.members["m0"].mask(0, QUESTION, np.zeros(8, "<u4"))

    # The mask pair, the channel and the seed, in the order in which they are drawn.
    vectors = Counter(masked(changed) for changed in (None, 0, 1, 2))
    assert len(vectors) == 4
    assert masked(None) == masked(None)


def test_the_operating_system_is_the_source_unless_a_test_says_otherwise() -> None:
    class One:
        def contribute(self, query: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            raise NotImplementedError

    aggregator = LocalAggregator({name: One() for name in "abc"})
    assert aggregator._entropy is os.urandom


def test_every_part_of_where_a_mask_belongs_counts() -> None:
    """Session, number of the sum, question and members; a pair in either order; own masks apart."""
    secret, session, question = KEY, bytes(32), QUESTION
    masks = [
        pair_mask(secret, session, 0, question, ("a", "b")),
        pair_mask(bytes(32), session, 0, question, ("a", "b")),
        pair_mask(secret, KEY, 0, question, ("a", "b")),
        pair_mask(secret, session, 1, question, ("a", "b")),
        pair_mask(secret, session, 0, KEY, ("a", "b")),
        pair_mask(secret, session, 0, question, ("a", "c")),
        self_mask(secret, session, 0, question, "a"),
        self_mask(bytes(32), session, 0, question, "a"),
        self_mask(secret, KEY, 0, question, "a"),
        self_mask(secret, session, 1, question, "a"),
        self_mask(secret, session, 0, KEY, "a"),
        self_mask(secret, session, 0, question, "b"),
    ]
    assert len(set(masks)) == len(masks)
    assert {len(mask) for mask in masks} == {32}
    assert pair_mask(secret, session, 0, question, ("b", "a")) == masks[0]


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("length", [131_071, 131_072, 300_001])
def test_threads_give_what_one_gives(threads: int, length: int) -> None:
    keys = [hashlib.sha256(bytes([number])).digest() for number in range(5)]
    alone, together = (np.arange(length, dtype="<u4") for _ in range(2))
    apply_masks(alone, keys[:2], keys[2:])
    apply_masks(together, keys[:2], keys[2:], threads)
    assert np.array_equal(alone, together)
    apply_masks(together, keys[2:], keys[:2], threads)
    assert np.array_equal(together, np.arange(length, dtype="<u4"))

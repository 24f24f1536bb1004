"""A member's own secrets of an epoch."""

import hashlib
from collections.abc import Callable
from typing import Self

from hanse.aggregation.channels import KeyPair
from hanse.aggregation.masks import SEED_BYTES
from hanse.aggregation.shamir import split
from hanse.aggregation.terms import SumTerms
from hanse.api.v1 import aggregation_pb2 as pb


class EpochSecrets:
    """What a member draws for an epoch, kept until shares of it have been exchanged.

    Args:
        channel: Shares are sealed to the member with it.
        pairs: For each sum, the key of its pairwise masks.
        seeds: For each sum, the seed of its own mask, 32 bytes.
    """

    def __init__(self, channel: KeyPair, pairs: list[KeyPair], seeds: list[bytes]) -> None:
        self.channel = channel
        self.pairs = pairs
        self.seeds = seeds

    @classmethod
    def generate(cls, sums: int, entropy: Callable[[int], bytes]) -> Self:
        """Draws everything afresh: nothing of one sum follows from anything of another."""
        pairs = [KeyPair.generate(entropy) for _ in range(sums)]
        return cls(KeyPair.generate(entropy), pairs, [entropy(SEED_BYTES) for _ in range(sums)])

    def advertise(self, member: str, terms: SumTerms) -> pb.SumAdvertisement:
        """The public half, not signed yet."""
        return pb.SumAdvertisement(
            member=member,
            terms=terms.digest,
            channel_key=self.channel.public,
            mask_keys=b"".join(pair.public for pair in self.pairs),
            seed_digests=b"".join(hashlib.sha256(seed).digest() for seed in self.seeds),
        )

    def split(
        self, terms: SumTerms, entropy: Callable[[int], bytes]
    ) -> list[tuple[list[bytes], list[bytes]]]:
        """Shares of mask key and seed for every number of the roster, for every sum."""
        how = (terms.threshold, len(terms.roster), entropy)
        return [
            (split(pair.private, *how), split(seed, *how))
            for pair, seed in zip(self.pairs, self.seeds, strict=True)
        ]

    def forget(self) -> None:
        """Drops what is not needed any more."""
        self.pairs, self.seeds = [], []

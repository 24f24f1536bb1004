"""Epsilon of a person who has one record at each of several members.

Every other figure of this package is for one record. A person known to k members has k records, and what they
cost together depends on how the members released, which each event says:

* *Separately*: k releases, each with noise of its own. They are composed.
* *Shared*, one sum over the members with one amount of noise: the person's k records move the same sum, by
  up to k sensitivities. In a sampled step every member tosses its own coin, so the number of the person's
  records in the step is binomial: a mixture of Gaussians with centres 0 to k (Choquette-Choo, Ganesh, Steinke
  and Thakurta, "Privacy Amplification for Matrix Mechanisms", ICLR 2024: the mixture over the lengths
  dominates that over the vectors). With one coin for all k it would be a Gaussian of k sensitivities, which
  costs more; members must not derive coins from who a person is.

Multiplying the record's epsilon by k is no bound for shared noise. At noise multiplier 3.88, sample rate .05,
400 steps and delta 1e-5 a record pays .999; a person known to two members pays 1.45 with separate releases,
2.15 with shared ones; known to three, 1.81 and 3.41.
"""

from collections.abc import Sequence
from typing import Final

from hanse.errors import PrivacyError
from hanse.privacy.accountant import epsilon_of_sums
from hanse.privacy.events import GaussianRelease, PrivacyEvent, SampledGaussian

MAX_MEMBERS: Final = 64


def person_epsilon(
    training: Sequence[PrivacyEvent], holdout: Sequence[PrivacyEvent], delta: float, members: int
) -> float:
    """Epsilon of a person with one record at each of that many members, add or remove the person.

    Whether a record is a training record or a held-out one differs from member to member, so every division
    of the person's records is looked at, and the worst one counts.

    Args:
        training: What a training record pays for, the same at every member.
        holdout: What a held-out record pays for.
        delta: The delta of the statement, in (0, 1).
        members: Members that know the person, from 1.

    Returns:
        An upper bound; infinity above :data:`hanse.privacy.accountant.MAX_EPSILON`.

    Raises:
        PrivacyError: ``privacy.unsupported`` if a number is out of range.
    """
    if not 1 <= members <= MAX_MEMBERS:
        raise PrivacyError("privacy.unsupported", f"a person is known to 1 to {MAX_MEMBERS} members")
    return max(
        _epsilon_of_parts([(training, trained), (holdout, members - trained)], delta)
        for trained in range(members + 1)
    )


def _epsilon_of_parts(parts: Sequence[tuple[Sequence[PrivacyEvent], int]], delta: float) -> float:
    """Of a person with so many records in each part."""
    released = [(event, records) for events, records in parts for event in events if records]
    alone = [_repeated(event, records) for event, records in released if not event.shared or records == 1]
    return epsilon_of_sums(alone, [each for each in released if each[0].shared and each[1] > 1], delta)


def _repeated(event: PrivacyEvent, times: int) -> PrivacyEvent:
    if isinstance(event, GaussianRelease):
        return GaussianRelease(event.noise_multiplier, event.count * times)
    return SampledGaussian(event.noise_multiplier, event.sample_rate, event.steps * times)

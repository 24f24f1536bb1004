"""Sums over members of which nobody learns an addend.

* :mod:`hanse.aggregation.queries`: the interface between an algorithm and the members.
* :mod:`hanse.aggregation.fixed_point`: real numbers as ring elements.
* :mod:`hanse.aggregation.body`: arrays in the parameters of a query.
* :mod:`hanse.aggregation.member`, :mod:`hanse.aggregation.coordinator`: secure sums, both halves.
* :mod:`hanse.aggregation.asking`: questions as messages, tied to the work that they are about.
* :mod:`hanse.aggregation.local`: both halves in one process.

Secure sums follow Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
CCS 2017, in the variant against an active server, which has signed keys and a consistency check, over as
many pairs of members as are needed. An *epoch* prepares many sums, because a sum must cost milliseconds:

1. *Keys.* For the epoch a member draws an X25519 key pair to seal shares with, and for **each sum** another
   pair for masks and a seed of 256 bits. Public keys and digests of the seeds are signed by its identity key,
   over the digest of the terms (agreement, run, epoch, purpose, roster with identity keys, minimum,
   threshold, number of sums). Everybody is shown all signed keys.
2. *Shares.* Each member splits every mask key and every seed among the roster (Shamir, more than two thirds)
   and seals the shares to each peer. The salt of the sealing keys is a digest of the terms and all keys. Who
   has shared is a *sharer*; terms, keys and sharers together are the *session*.

Each sum of the epoch:

3. *Input.* Member u sends ``x_u + m_u + sum(m_uv for u < v) - sum(m_uv for v < u)`` in the ring, over its
   neighbours v (:mod:`hanse.aggregation.neighbours`). ``m_u`` is the mask stream
   (:mod:`hanse.aggregation.masks`) of a key derived from u's seed, ``m_uv`` that of a key derived from what
   the mask keys of u and v have in common; both with the session as salt and with number of the sum and
   digest of the question in the info. So masks cancel only among members to whom the same agreement, roster,
   keys and question were shown.
4. *Consistency.* If somebody is missing, a survivor that is asked confirms the list of survivors to each
   other one, by a code that only the two can make (:mod:`hanse.aggregation.codes`), one list in a sum.
5. *Reveal.* Shown that more than two thirds of the roster have confirmed the same list, a survivor sends, for
   every sharer, one share: of the seed if it is a survivor, of the mask key if it has vanished. For a list on
   which nobody is missing it sends them at once, and confirms no list afterwards. The coordinator computes
   seeds and keys, compares them with what was advertised, and takes the masks off the total.

Why the complete list needs no confirmations. Whoever opens a sum has to have, for every sharer, either the
seed or the mask key; and it must not have both of one, nor some of these and some of those at will. Let t be
the threshold, c of n members lie with the coordinator, c < 2t - n. Every honest member speaks for one list:
it confirms it and shows shares under it, or shows its shares of all seeds, which is its word for the complete
one. For a list with missing members to be opened, t members confirm it, at least t - c of them honest. For
all seeds of the complete list, t members show shares, at least t - c of them honest. Were both so, there
would be 2 (t - c) <= n - c honest members, that is c >= 2t - n. So one list at most is opened, as with
confirmations of each; and shares under the complete one open no mask key, whatever else was shown.

Why masks with some members are enough. Let n' members have shared. What hides the vectors of the honest
members of the list that is opened are the masks between two of them; if they hang together by such masks,
nothing but their total follows. Whoever else has shared, and is not on that list or lies, is taken away from
them: at most n' - t and c members. So a graph is needed in which t - (n - n') - 1 members can be taken away
and the others still hang together: each is a neighbour of t - (n - n'), or of all.

Why a sum is made once or not at all. Keys, seeds and shares are drawn for each sum afresh, so what one sum
reveals opens no other. But two sums over the same data, one of them with fewer members, differ by what the
missing members sent. So there is no step that repeats a sum: whoever vanishes, in any phase, is made up for
by shares, and where too few are left the sum ends with ``run.insufficient-members``. A member masks one
vector in a sum, and answers a question (kind, body, length; however encoded) once in a run; after an
interruption once more, if it has given no share for its sum (:class:`SumHistory`). That stops an honest
coordinator from repeating, and a lying one from asking for the same twice; it cannot stop one that asks for
nearly the same, with a different list of survivors. Against that only the algorithm (a member answers step
after step) and noise in the answers help.

No sum has fewer than three members: of two, each is the total without the other.
"""

from hanse.aggregation.asking import Scoped, from_message, scoped, to_message, work_digest
from hanse.aggregation.body import decode_body, encode_body
from hanse.aggregation.coordinator import CoordinatorEpoch
from hanse.aggregation.coordinator_sum import CoordinatorSum, ask_enough
from hanse.aggregation.fixed_point import FixedPoint
from hanse.aggregation.local import LocalAggregator, Phase
from hanse.aggregation.member import MemberEpoch
from hanse.aggregation.queries import Aggregate, Aggregator, Contributor, InProcessAggregator, Query, Vector
from hanse.aggregation.terms import AgreedTerms, SumHistory, SumTerms, asked_digest, question_digest

__all__ = [
    "Aggregate",
    "Aggregator",
    "AgreedTerms",
    "Contributor",
    "CoordinatorEpoch",
    "CoordinatorSum",
    "FixedPoint",
    "InProcessAggregator",
    "LocalAggregator",
    "MemberEpoch",
    "Phase",
    "Query",
    "Scoped",
    "SumHistory",
    "SumTerms",
    "Vector",
    "ask_enough",
    "asked_digest",
    "decode_body",
    "encode_body",
    "from_message",
    "question_digest",
    "scoped",
    "to_message",
    "work_digest",
]

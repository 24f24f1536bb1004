"""Questions as messages, and what ties them to the work that they belong to.

Members answer questions of a run about work that they were all given: a fit, a round from these weights, an
evaluation of those. The kind of a question that travels begins with the digest of that work. So it is part of
what every mask is made for: masks cancel only among members who were given the same work, and one question is
answered once for each work, not once in a run.
"""

import hashlib
from dataclasses import replace
from typing import Final

from hanse.aggregation.fixed_point import FixedPoint
from hanse.aggregation.queries import Contributor, Query, Vector
from hanse.api.v1 import round_pb2 as pb
from hanse.errors import ProtocolError

MAX_LENGTH: Final = 1 << 23
"""Numbers of an answer; at 64 bits each, what one message of the exchange can hold."""


def work_digest(name: str, work: bytes) -> str:
    """SHA-256 of what the members of a phase are to do, 64 hex digits.

    Args:
        name: What it is, as the protocol file names it.
        work: Its serialised message.
    """
    return hashlib.sha256(name.encode() + b"\0" + work).hexdigest()


def scoped(query: Query, work: str) -> Query:
    """The query as it travels.

    Args:
        query: As the algorithm asks it.
        work: From :func:`work_digest`.
    """
    return replace(query, kind=f"{work}/{query.kind}")


class Scoped:
    """A contributor that answers questions of one work alone.

    Args:
        contributor: What answers them.
        work: From :func:`work_digest`.
    """

    def __init__(self, contributor: Contributor, work: str) -> None:
        self._contributor = contributor
        self._work = work

    def contribute(self, query: Query) -> Vector:
        """Answers a query of :func:`scoped`.

        Raises:
            ProtocolError: ``sum.foreign`` for one of other work.
            HanseError: As the contributor.
        """
        work, _, kind = query.kind.partition("/")
        if work != self._work:
            raise ProtocolError("sum.foreign", "coordinator: a question about other work than this phase's")
        return self._contributor.contribute(replace(query, kind=kind))


def to_message(query: Query, number: int) -> pb.Question:
    """A query as the message that asks it.

    Args:
        query: As it travels.
        number: Which sum of the epoch, from 0.
    """
    return pb.Question(
        sum=number,
        kind=query.kind,
        body=query.body,
        length=query.length,
        bound=query.encoding.bound,
        contributors=query.encoding.contributors,
        fraction_bits=query.encoding.fraction_bits,
        ring_bits=query.encoding.ring_bits,
    )


def from_message(message: pb.Question) -> Query:
    """Reads what :func:`to_message` wrote.

    Args:
        message: From anywhere.

    Raises:
        ProtocolError: ``protocol.malformed`` if there is no such query.
    """
    if not 1 <= message.length <= MAX_LENGTH:
        raise ProtocolError("protocol.malformed", "coordinator: a question with an answer of no such length")
    encoding = FixedPoint(message.bound, message.contributors, message.fraction_bits, message.ring_bits)
    return Query(message.kind, message.body, message.length, encoding)

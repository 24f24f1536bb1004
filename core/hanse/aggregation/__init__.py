"""Sums over members of which nobody learns an addend.

* :mod:`hanse.aggregation.queries`: the interface between an algorithm and the members.
* :mod:`hanse.aggregation.fixed_point`: real numbers as ring elements.
* :mod:`hanse.aggregation.body`: arrays in the parameters of a query.
"""

from hanse.aggregation.body import decode_body, encode_body
from hanse.aggregation.fixed_point import FixedPoint
from hanse.aggregation.queries import Aggregate, Aggregator, Contributor, InProcessAggregator, Query, Vector

__all__ = [
    "Aggregate",
    "Aggregator",
    "Contributor",
    "FixedPoint",
    "InProcessAggregator",
    "Query",
    "Vector",
    "decode_body",
    "encode_body",
]

"""What a transform learns from sums over all members, where the agreement lets it learn anything.

* Bin edges at quantiles (:mod:`hanse.learning.quantiles`), between two public bounds.
* Mean and standard deviation of values that are cut at two public bounds. The bounds are agreed on, not
  learned: they are what one record can move a sum by, and a largest value is somebody's.
* Which categories are common: counted per category of a public list, or per hashed bucket where there is no
  list. A category has a feature of its own only if it has enough rows over all members *and* enough members
  have it; the others share one.

Who learns what. Members and everybody who is given the model learn the transform: which cells have a feature,
edges, means. The coordinator learns the sums behind it as well: rows per cell, and how many members have any;
so it sees that a bucket belongs to one member, though neither which member nor what word. Nobody learns a
member's own counts, unless all other members put theirs together. With a privacy budget every answer goes
through a :data:`hanse.learning.release.Release` that adds noise and pays for it.

:func:`fit` is the coordinator's half, :class:`PreprocessingContributor` the member's.
"""

from hanse.learning.preprocessing.contributor import PreprocessingContributor
from hanse.learning.preprocessing.fit import Fitted, fit

__all__ = ["Fitted", "PreprocessingContributor", "fit"]

"""Which columns made a score what it is.

* :mod:`hanse.scoring.reasons.attribution`: what each column adds to the log-odds, for the site alone.
* :mod:`hanse.scoring.reasons.reason`: what of it is said to a caller: a few columns, in words.
* :mod:`hanse.scoring.reasons.trees`, :mod:`~hanse.scoring.reasons.gradients`: the arithmetic of trees, and of
  layers.
* :mod:`hanse.scoring.reasons.reference`: with whom a person is compared.
* :mod:`hanse.scoring.reasons.halves`: what each column adds to scores of vertical models.
"""

from hanse.scoring.reasons.attribution import Attribution, attribute
from hanse.scoring.reasons.explain import explain, say, visible_columns
from hanse.scoring.reasons.reason import PARTNER_DATA, TOLERANCE, Reason, Reasons, chosen

__all__ = [
    "PARTNER_DATA",
    "TOLERANCE",
    "Attribution",
    "Reason",
    "Reasons",
    "attribute",
    "chosen",
    "explain",
    "say",
    "visible_columns",
]

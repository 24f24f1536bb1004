"""Attacks on vertical training, by its own parties, before a model is released.

* :mod:`hanse.learning.vertical.leakage.attacks`: norm, cosine, spectral and probe; pure functions.
* :mod:`hanse.learning.vertical.leakage.surfaces`: what was seen, and the attacks on it.
* :mod:`hanse.learning.vertical.leakage.recorder`: a channel that notes what is sent of every person.
* :mod:`hanse.learning.vertical.leakage.report`: the report, and the policy's maximum.
* :mod:`hanse.learning.vertical.leakage.cuts`: which cuts a feature holder was asked for.
* :mod:`hanse.learning.vertical.leakage.watching`: the report of a run of trees.
* :mod:`hanse.learning.vertical.leakage.split`: the report of a split network. It needs torch, so it is not
  imported here.
"""

from hanse.learning.vertical.leakage.recorder import Recorder
from hanse.learning.vertical.leakage.report import (
    LEAKAGE_MEANING,
    Finding,
    LeakageReport,
    check_release,
)
from hanse.learning.vertical.leakage.surfaces import Surface, attack_labels
from hanse.learning.vertical.leakage.watching import WatchedTrees

__all__ = [
    "LEAKAGE_MEANING",
    "Finding",
    "LeakageReport",
    "Recorder",
    "Surface",
    "WatchedTrees",
    "attack_labels",
    "check_release",
]

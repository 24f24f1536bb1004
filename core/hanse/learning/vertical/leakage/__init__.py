"""Attacks on vertical training, by its own parties, before a model is released.

* :mod:`hanse.learning.vertical.leakage.attacks`: norm, cosine, spectral and probe; pure functions.
* :mod:`hanse.learning.vertical.leakage.surfaces`: what was seen, and the attacks on it.
* :mod:`hanse.learning.vertical.leakage.recorder`: a channel that notes what is sent of every person.
* :mod:`hanse.learning.vertical.leakage.report`: the report, and the policy's maximum.
* :mod:`hanse.learning.vertical.leakage.split`: the report of a split network.
"""

from hanse.learning.vertical.leakage.recorder import Recorder
from hanse.learning.vertical.leakage.report import (
    DEFAULT_MAXIMUM,
    LEAKAGE_MEANING,
    Finding,
    LeakageReport,
    check_release,
)
from hanse.learning.vertical.leakage.split import column_leak, split_report
from hanse.learning.vertical.leakage.surfaces import Surface, attack_labels

__all__ = [
    "DEFAULT_MAXIMUM",
    "LEAKAGE_MEANING",
    "Finding",
    "LeakageReport",
    "Recorder",
    "Surface",
    "attack_labels",
    "check_release",
    "column_leak",
    "split_report",
]

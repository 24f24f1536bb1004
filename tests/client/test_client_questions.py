"""What can be asked for where each member's update is seen."""

import pytest

from hanse.client.questions import robustness_of
from hanse.policies import Robustness


def test_a_rule_with_the_members_that_it_stands() -> None:
    assert robustness_of("screened-mean") == Robustness()
    assert robustness_of("multi-krum:2") == Robustness(rule="multi-krum", faulty=2)
    for wrong in ("", "krum", "median:1", "trimmed-mean", "trimmed-mean:x", "trimmed-mean:0"):
        with pytest.raises(ValueError, match="write screened-mean"):
            robustness_of(wrong)

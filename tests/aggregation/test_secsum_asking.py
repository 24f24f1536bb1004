"""As many members as are needed are asked to confirm and to reveal, and another for each that is silent."""

from collections.abc import Mapping

import pytest
from tests.aggregation.secure_sums import Stage, prepared

from hanse.aggregation import CoordinatorSum, ask_enough
from hanse.errors import TrainingError


class Asking:
    """Asks members of a stage as a coordinator does, and keeps whom it asked; some do not answer."""

    def __init__(self, stage: Stage, state: CoordinatorSum, silent: dict[str, list[str]]) -> None:
        self._stage, self._state, self._silent = stage, state, silent
        self.asked: dict[str, list[list[str]]] = {"confirm": [], "reveal": []}

    def confirm(self, messages: Mapping[str, bytes]) -> None:
        for member in self._there("confirm", messages):
            answer = self._stage.members[member].survivors(messages[member])
            self._state.take_confirmation(member, answer)

    def reveal(self, messages: Mapping[str, bytes]) -> None:
        for member in self._there("reveal", messages):
            self._state.take_reveal(member, self._stage.members[member].reveal(messages[member]))

    def _there(self, step: str, messages: Mapping[str, bytes]) -> list[str]:
        self.asked[step].append(list(messages))
        return [member for member in messages if member not in self._silent.get(step, [])]


def asking(silent: dict[str, list[str]], size: int = 7, without: str = "m6") -> Asking:
    """A sum of seven, of which five must confirm and reveal; one of them has sent no input."""
    stage = prepared(size)
    state = stage.gather(silent=[without] if without else [])
    made = Asking(stage, state, silent)
    ask_enough(state, made.confirm, made.reveal)
    total, survivors = state.total()
    assert not total.any()
    assert set(survivors) == set(stage.members) - {without}
    return made


def test_as_many_members_as_needed_confirm_and_reveal() -> None:
    five = ["m0", "m1", "m2", "m3", "m4"]
    assert asking({}).asked == {"confirm": [five], "reveal": [five]}
    assert asking({}, without="").asked == {"confirm": [], "reveal": [five]}


def test_another_is_asked_for_each_that_does_not_answer() -> None:
    five = ["m0", "m1", "m2", "m3", "m4"]
    rest = ["m0", "m1", "m3", "m4", "m5"]
    assert asking({"confirm": ["m2"]}).asked == {"confirm": [five, ["m5"]], "reveal": [rest]}
    # Who has not confirmed may not reveal, so that another confirms first.
    late = asking({"reveal": ["m2"]})
    assert late.asked == {"confirm": [five, ["m5"]], "reveal": [five, ["m5"]]}
    complete = asking({"reveal": ["m2"]}, without="")
    assert complete.asked == {"confirm": [], "reveal": [five, ["m5"]]}


def test_too_few_who_confirm_or_reveal_end_the_sum() -> None:
    for silent in (
        {"confirm": ["m0", "m1"]},
        {"reveal": ["m0", "m1"]},
        {"confirm": ["m0"], "reveal": ["m5"]},
    ):
        with pytest.raises(TrainingError, match=r"run\.insufficient-members"):
            asking(silent)

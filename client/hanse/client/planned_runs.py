"""The runs that a member plans and reserves at once: one by itself, or all trials of a sweep.

A sweep is accounted for as what it is: the releases of all its trials, added up. Before anything of the first
trial leaves, all of them are reserved in the privacy ledger, each under a name of its own, with noise that
keeps their sum within the budget. Each trial then spends its own reservation, once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hanse.policies import SignedAgreement, Trial, trainings_of
from hanse.privacy import Length


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """See the module docstring.

    Attributes:
        own: The name under which the ledger has the run.
        lengths: Of every run that is planned with it, by name; in order, itself included.
    """

    own: str
    lengths: Mapping[str, Length]

    @classmethod
    def of(cls, run: str, signed: SignedAgreement, trial: Trial | None) -> Self:
        """What is planned for a run.

        Args:
            run: Its identifier.
            signed: The agreement as it was signed.
            trial: Which trial of a sweep it is; None for a run by itself.

        Raises:
            PolicyError: As :func:`hanse.policies.trainings_of`.
        """
        if trial is None:
            return cls(run, {run: Length.of(signed.agreement.training)})
        lengths = map(Length.of, trainings_of(signed, trial.of))
        return cls(trial.name(trial.number), dict(zip(trial.names, lengths, strict=True)))

    @property
    def all(self) -> tuple[Length, ...]:
        """Lengths of all of them."""
        return tuple(self.lengths.values())

    @property
    def ahead(self) -> dict[str, Length]:
        """The run itself and those after it: what is reserved before it begins, or was reserved before."""
        names = list(self.lengths)
        return {name: self.lengths[name] for name in names[names.index(self.own) :]}

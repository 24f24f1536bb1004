"""The trials of a sweep: which of the combinations that an agreement allows, in which order.

An agreement that has ``training.trials`` allows a sweep: several runs that differ in what the trials name and
in nothing else, of which the best becomes a model version. Every member derives from agreement and number
what a trial is, so that nobody can have anything else tried. The order is drawn by the agreement's digest: of
a large grid, the first few are spread over it, and no side chooses them.
"""

from dataclasses import dataclass, replace

from hanse.crypto import sha256_hex
from hanse.errors import PolicyError
from hanse.policies.agreement import Training
from hanse.policies.signing import SignedAgreement


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a sweep.

    Attributes:
        sweep: Name of the sweep: the run of its first trial.
        number: From 1.
        of: Trials of the sweep.
    """

    sweep: str
    number: int
    of: int

    def name(self, number: int) -> str:
        """The name under which a privacy ledger has a trial of this sweep."""
        return f"{self.sweep}/{number}"

    @property
    def names(self) -> tuple[str, ...]:
        """Of all trials of the sweep."""
        return tuple(map(self.name, range(1, self.of + 1)))


def trainings_of(signed: SignedAgreement, trials: int) -> tuple[Training, ...]:
    """What each trial of a sweep trains.

    Args:
        signed: The agreement.
        trials: How many.

    Raises:
        PolicyError: ``policy.denied`` (P20) if the agreement allows no sweep, or fewer trials.
    """
    points = signed.agreement.training.points
    if not 1 <= trials <= len(points):
        allowed = f"{len(points)} trials" if points else "no sweep: it has no training.trials"
        raise PolicyError("policy.denied", f"the agreement allows {allowed}", rule="P20")
    order = sorted(range(len(points)), key=lambda at: sha256_hex(f"{signed.digest} trial {at}".encode()))
    return tuple(points[at] for at in order[:trials])


def tried(signed: SignedAgreement, trial: Trial | None) -> SignedAgreement:
    """The agreement as a run is under it: with the training of the trial instead of its own.

    Digest, signers and note stay those of what was signed.

    Args:
        signed: The agreement.
        trial: The trial; None for a run that is none.

    Raises:
        PolicyError: As :func:`trainings_of`; ``policy.denied`` (P20) for a trial that is none of the sweep's.
    """
    if trial is None:
        return signed
    trainings = trainings_of(signed, trial.of)
    if not 1 <= trial.number <= trial.of:
        raise PolicyError("policy.denied", "no trial of that number", rule="P20")
    training = trainings[trial.number - 1]
    return replace(signed, agreement=signed.agreement.model_copy(update={"training": training}))

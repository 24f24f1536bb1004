"""Model versions that are ready to score, and the table that says which one a call gets."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hanse.errors import ServingError
from hanse.learning.artifact import LoadedModel
from hanse.learning.predictor import Predictor, sigmoid
from hanse.learning.prepared import PreparedTransform
from hanse.learning.single import SinglePrecision
from hanse.learning.subject_values import needed
from hanse.policies import Column, Policy, SignedAgreement

Scores = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[Any]]
"""Values by name of the column, one per subject: float64, or objects of type ``str``."""


@dataclass(frozen=True, slots=True)
class Calling:
    """On whose behalf people are scored.

    Attributes:
        caller: Name of the authenticated caller.
        purpose: The use that it declares.
        subjects: Identifier of each subject of the call.
        until: When the caller stops waiting, by the event loop's clock; None if it said nothing.
        outputs: What is asked for beside scores.
    """

    caller: str
    purpose: str
    subjects: Sequence[str]
    until: float | None = None
    outputs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model version says of the admitted subjects of a call.

    Attributes:
        probabilities: One per admitted subject, in order; NaN for whom another member denies.
        outputs: Those of :attr:`Served.outputs`, one value per subject of the call.
        marks: What is said of the answer as a whole, whatever outputs were asked for.
        alone: Whether no other member has said anything of these people.
    """

    probabilities: npt.NDArray[np.float64]
    outputs: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Served(ABC):
    """One loaded model version, with what it may be used for; all of it checked when it was loaded.

    A call keeps the one that it was given when it began: whatever replaces it in the table meanwhile, the
    answer names the version that made it.

    Attributes:
        name: Name of the model.
        version: Version of the model.
        digest: Names this version in logs, 64 hex digits.
        agreement: The agreement that every member signed, and that the model was trained under.
        policy: The rule packs that apply, merged.
        columns: What a call must bring for each subject.
        decided_deciles: Where tenths of people begin, as was decided with the version; empty if nobody did.
        note: The signed manifest; :attr:`digest` is its SHA-256.
    """

    name: str
    version: str
    digest: str
    agreement: SignedAgreement
    policy: Policy
    columns: tuple[Column, ...]
    decided_deciles: tuple[float, ...] = field(default=(), kw_only=True)
    note: bytes = field(default=b"", kw_only=True, repr=False)

    @property
    def needed(self) -> tuple[Column, ...]:
        """Those of :attr:`columns` that make a difference; no other is looked up where a call brings none."""
        return self.columns

    @property
    def deciles(self) -> tuple[float, ...]:
        """Where tenths begin, in scores as they are served; none if nobody said."""
        return self.decided_deciles

    def amounts(
        self, name: str, columns: Columns, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """An amount that the model predicts beside the label, one per admitted subject.

        Args:
            name: Of the target.
            columns: Values of :attr:`columns`, one per subject.
            admitted: Who is scored.

        Raises:
            ServingError: ``model.invalid`` if the model predicts no such amount.
        """
        del columns, admitted
        raise ServingError("model.invalid", f"the model predicts no {name}")

    @property
    def explains(self) -> bool:
        """Whether it can say why its scores are what they are."""
        return False

    @property
    def outputs(self) -> Mapping[str, str]:
        """What it says of subjects beside scores: Open Inference types by name."""
        return {}

    async def scored(self, calling: Calling, columns: Columns, admitted: npt.NDArray[np.bool_]) -> Scored:
        """Scores on somebody's behalf; what a scorer calls.

        Args:
            calling: On whose behalf, and whom.
            columns: As :meth:`probabilities`.
            admitted: As :meth:`probabilities`.

        Raises:
            ServingError: As :meth:`probabilities`.
        """
        return Scored(await self.probabilities(calling.subjects, columns, admitted))

    @abstractmethod
    async def probabilities(
        self, subjects: Sequence[str], columns: Columns, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """Scores those about whom a score may be computed; the columns of the others are not looked at.

        Args:
            subjects: Identifier of each subject of the call.
            columns: Values of :attr:`columns`, one per subject.
            admitted: Who is scored.

        Returns:
            Calibrated probabilities in [0, 1], one per admitted subject, in order.

        Raises:
            ServingError: If there is no score, for whatever the model needs.
        """


@dataclass(frozen=True, slots=True)
class LocalModel(Served):
    """A model that needs nobody else.

    Attributes:
        model: The model version.
        transform: Its preprocessing.
        single: The model in single precision, if it can be had.
    """

    model: LoadedModel
    transform: PreparedTransform
    single: SinglePrecision | None

    @classmethod
    def of(cls, model: LoadedModel, agreement: SignedAgreement, policy: Policy) -> Self:
        """A model version under the agreement that it was trained under."""
        manifest = model.manifest
        columns = tuple(agreement.agreement.columns)
        transform = PreparedTransform(model.transform)
        version = str(manifest.version)
        single = None
        if isinstance(model.predictor, Predictor) and transform.features is not None:
            single = model.predictor.in_single_precision(transform.features)
        return cls(manifest.name, version, model.digest, agreement, policy, columns, model, transform, single)

    @property
    @override
    def needed(self) -> tuple[Column, ...]:
        """See :attr:`Served.needed`."""
        segments = self.agreement.agreement.scoring.segments
        used = {column.name for column in needed(self.columns, self.model.transform)}
        value = set() if segments is None else {segments.value}
        return tuple(column for column in self.columns if column.name in used | value)

    @override
    async def probabilities(
        self, subjects: Sequence[str], columns: Columns, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """See :meth:`Served.probabilities`."""
        return self.scores({name: values[admitted] for name, values in columns.items()})

    def scores(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Probabilities of rows, all of them admitted; of one call, or of several together.

        Args:
            columns: Values of :attr:`columns`, one per row.
        """
        return self.model.probabilities(self.transform.apply(columns))

    def score_ranges(self, columns: Columns) -> tuple[Scores, Scores] | None:
        """Between what :meth:`scores` lie, in less time.

        Args:
            columns: Values of :attr:`columns`, one per row.

        Returns:
            The lowest and the highest that each score can be; None if that is not known.
        """
        cells = None if self.single is None else self.transform.cells(columns)
        if self.single is None or cells is None:
            return None
        logits = self.single.logits(cells)
        calibration = self.model.manifest.calibration
        low, high = (sigmoid(logits + off) for off in (-self.single.bound, self.single.bound))
        return (low, high) if calibration is None else (calibration.apply(low), calibration.apply(high))

    @property
    @override
    def explains(self) -> bool:
        """Every kind that is whole at one member can."""
        return True

    @property
    @override
    def deciles(self) -> tuple[float, ...]:
        """Those of the held-out records of its run, where the version says them."""
        return self.model.manifest.deciles or self.decided_deciles

    @override
    def amounts(
        self, name: str, columns: Columns, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """See :meth:`Served.amounts`."""
        predicted = self.model.predictor.targets(self._features(columns, admitted))
        if name not in predicted:
            raise ServingError("model.invalid", f"the model predicts no {name}")
        return predicted[name]

    def _features(self, columns: Columns, admitted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        return self.transform.apply({name: values[admitted] for name, values in columns.items()})


class ModelTable(Protocol):
    """Which model version answers a call."""

    @property
    def primary(self) -> Served:
        """The version that entries name of calls for which no version was found."""
        ...

    def route(self, name: str, version: str, key: bytes) -> Served:
        """The version that answers a call.

        Args:
            name: Name asked for.
            version: Version asked for; empty for whichever is served.
            key: What a share of the calls is chosen by: the same key gets the same version. Empty for the
                live one.

        Raises:
            ServingError: ``model.not-found``, or why the version may not answer.
        """
        ...

"""Reasons beside scores: as an extra output of any call, and as messages of our own service."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from hanse.api.v1 import scoring_pb2 as pb
from hanse.crypto import canonical_json
from hanse.scoring.reasons import Reasons, attribute, say
from hanse.server.scoring.asked import Asked, Output
from hanse.server.scoring.own.messages import REASONS
from hanse.server.scoring.served import Columns, LocalModel, Served


class ReasonsOutput:
    """The extra output ``reasons``: of each subject canonical JSON, empty for whom a score is denied.

    Args:
        member: Name of the member that scores; callers are told of its own columns alone.
    """

    def __init__(self, member: str) -> None:
        self._member = member

    def names(self, served: Served) -> Mapping[str, str]:
        """See :class:`hanse.server.scoring.asked.Extra`: where the agreement has reason codes."""
        agreed = served.agreement.agreement.scoring.reason_codes
        return {REASONS: "BYTES"} if agreed and isinstance(served, LocalModel) else {}

    async def outputs(
        self,
        asked: Asked,
        columns: Columns,
        admitted: npt.NDArray[np.bool_],
        scores: npt.NDArray[np.float64],  # noqa: ARG002 - an output may be made of them; reasons are not
    ) -> Mapping[str, Output]:
        """See :class:`hanse.server.scoring.asked.Extra`."""
        served = asked.served
        if REASONS not in asked.outputs or REASONS not in self.names(served):
            return {}
        assert isinstance(served, LocalModel)  # noqa: S101 - says names()
        chosen = {name: values[admitted] for name, values in columns.items()}
        features = served.model.transform.apply(chosen)
        told = iter(say(attribute(served.model, features), served.agreement.agreement, self._member))
        return {REASONS: [to_json(next(told)) if one else b"" for one in admitted.tolist()]}


def to_json(reasons: Reasons) -> bytes:
    """Reasons of one score as canonical JSON."""
    items = [
        {**asdict(item), "code": _code(item.column, item.strength, raises=item.raises)}
        for item in reasons.items
    ]
    return canonical_json({"reasons": items, "reference": reasons.reference, "method": reasons.method})


def explanations(output: Output) -> list[pb.Explanation]:
    """What :class:`ReasonsOutput` gives, as messages."""
    return [_explanation(bytes(text)) for text in output]


def _explanation(text: bytes) -> pb.Explanation:
    if not text:
        return pb.Explanation()
    told = json.loads(text)
    return pb.Explanation(
        reasons=[pb.Reason(**item) for item in told["reasons"]],
        reference=told["reference"],
        method=told["method"],
    )


def _code(column: str, strength: str, *, raises: bool) -> str:
    return f"{column}.{'raises' if raises else 'lowers'}.{strength}"

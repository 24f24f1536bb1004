"""Messages of ``hanse.api.v1.Scoring``: which subjects are asked about, and what is answered.

Every function here is total: a value, or an error that names positions and never a value.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from hanse.api.v1 import scoring_pb2 as pb
from hanse.audit import ConsentState
from hanse.server.scoring.asked import Answer, Output
from hanse.server.scoring.served import Served
from hanse.server.scoring.tensors import MAXIMUM_ELEMENT_BYTES, bad_input

REASONS: Final = "reasons"
"""The extra output of :mod:`hanse.server.scoring.own.explaining`; in this service it has a message."""


def read_subjects(subject_ids: Sequence[str], maximum_rows: int) -> tuple[str, ...]:
    """The subjects of a call.

    Args:
        subject_ids: From a parsed message, from anywhere.
        maximum_rows: Most subjects in one call.

    Raises:
        ServingError: ``scoring.bad-input`` for none, too many, or an identifier that is blank or too long.
    """
    if not 1 <= len(subject_ids) <= maximum_rows:
        raise bad_input(f"a call asks about {len(subject_ids)} subjects; 1 to {maximum_rows} are accepted")
    for position, subject in enumerate(subject_ids):
        if not subject.strip():
            raise bad_input(f"subject_id {position} is blank")
        if len(subject.encode()) > MAXIMUM_ELEMENT_BYTES:
            raise bad_input(f"subject_id {position} is longer than {MAXIMUM_ELEMENT_BYTES} bytes")
    return tuple(subject_ids)


def write_answer(served: Served, log_index: int, consent: ConsentState, caller: str) -> pb.Answer:
    """Who answered, on what ground, and what the caller owes the people it asked about (P24, P25).

    Args:
        served: The model version.
        log_index: Index of the entry.
        consent: What the subjects were decided on.
        caller: Name of the caller.
    """
    scoring = served.agreement.agreement.scoring
    listed = scoring.caller(caller)
    return pb.Answer(
        model=served.name,
        version=served.version,
        model_digest=served.digest,
        agreement_digest=served.agreement.digest,
        log_index=log_index,
        consent_head=consent.head,
        consent_size=consent.size,
        opt_out_available=listed is not None and listed.opt_out_available,
        human_review_required=scoring.significant_effect,
    )


def write_results(answer: Answer) -> pb.Results:
    """What is said about each subject."""
    results = results_of(answer.scores, answer.rules)
    for name, output in answer.outputs.items():
        if name != REASONS:
            results.outputs.append(_output(name, output))
    return results


def results_of(scores: npt.NDArray[np.float32], rules: Sequence[str | None]) -> pb.Results:
    """Scores and rules alone."""
    return pb.Results(scores=scores.tolist(), rules=[rule or "" for rule in rules])


def denied_results(rules: Sequence[str | None]) -> pb.Results:
    """What is said where everybody is denied."""
    return results_of(np.full(len(rules), np.nan, dtype=np.float32), rules)


def wanted(extras: Mapping[str, str]) -> tuple[str, ...]:
    """The extra outputs that this service asks for: all that the agreement has, but reasons."""
    return tuple(name for name in extras if name != REASONS)


def _output(name: str, output: Output) -> pb.Output:
    if isinstance(output, np.ndarray):
        return pb.Output(name=name, numbers=output.tolist())
    return pb.Output(name=name, texts=[text.decode("utf-8", errors="replace") for text in output])

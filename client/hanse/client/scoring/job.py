"""All rows of a file, from the first to the last: ask, keep what is answered, and write the scores."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hanse.client.scoring.calls import Asking, Question, patient
from hanse.client.scoring.state import ENDING, Answered, JobHeader, StateFile
from hanse.client.scoring.tables import Batch, Column, InputFile, write_table
from hanse.errors import ConfigurationError

PATIENCE_S: Final = 60.0
SCORE, DECISION, RULE = "score", "decision", "rule"
PERMIT, DENY = "permit", "deny"


@dataclass(frozen=True, slots=True)
class Summary:
    """How a job went.

    Attributes:
        output: The file with the scores.
        rows: Rows of the input.
        scored: Rows that a score may be computed of.
        refused: Refused rows by rule.
        resumed: Batches that were answered before this process began.
        model: Name and version that answered, ``propensity@3``.
        model_digest: SHA-256 of its signed manifest.
        agreement_digest: That of its agreement.
        log: First and last index of the entries in the scorer's log; empty if there is none to tell.
        opt_out_available: People can say no to what is done with the scores.
        human_review_required: A person has to look at a decision on these scores.
    """

    output: Path
    rows: int
    scored: int
    refused: Mapping[str, int]
    resumed: int
    model: str
    model_digest: str
    agreement_digest: str
    log: tuple[int, ...]
    opt_out_available: bool
    human_review_required: bool


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be scored.

    Attributes:
        source: The rows.
        output: The file to write.
        question: What is asked of the scorer.
        columns: Further columns that the scorer is sent; None if it looks values up by subject.
        batch_rows: How many rows are asked about in one call.
        overwrite: Whether the file to write may be there, and is replaced in the end.
    """

    source: InputFile
    output: Path
    question: Question
    columns: tuple[str, ...] | None
    batch_rows: int
    overwrite: bool = False

    def batches(self, first: int) -> Iterator[Batch]:
        """The batches from a given one on."""
        return self.source.batches(self.batch_rows, self.columns or (), first)

    def header(self, rows: int) -> JobHeader:
        """What the state file says of the job."""
        return JobHeader(
            input=self.source.digest(),
            rows=rows,
            id_column=self.source.id_column,
            by="subject" if self.columns is None else "columns",
            model=self.question.model,
            version=self.question.version,
            purpose=self.question.purpose,
            batch_rows=self.batch_rows,
        )


def state_path(output: Path) -> Path:
    """Where the state of a job is kept."""
    return output.with_name(output.name + ENDING)


def run_job(
    job: Job, asking: Asking, progress: Callable[[int, int], None], patience_s: float = PATIENCE_S
) -> Summary:
    """Scores all rows, going on where an earlier process stopped.

    Args:
        job: The job.
        asking: The scorer.
        progress: Called with the rows answered so far, and with all.
        patience_s: How long to wait for a scorer that does not answer, seconds.

    Returns:
        How it went; the output is there, and the state is not there any more.

    Raises:
        ConfigurationError: ``config.exists`` if the output is there, or the state is that of another job;
            ``config.bad-data`` if a row cannot be asked about; ``config.missing-file``,
            ``config.unwritable``.
        HanseError: As :func:`hanse.client.scoring.calls.patient`; what was answered is kept in the state.
    """
    if job.output.exists() and not job.overwrite:
        raise ConfigurationError("config.exists", f"{job.output} exists; name another file, or --overwrite")
    rows = job.source.check()
    with StateFile(state_path(job.output), job.header(rows)) as state:
        resumed = state.done
        progress(min(rows, resumed * job.batch_rows), rows)
        if not state.finished:
            version = _version(state)
            for answered in patient(asking, job.batches, state.done, version, patience_s):
                state.append(answered)
                progress(min(rows, state.done * job.batch_rows), rows)
        if not state.finished:
            raise ConfigurationError("config.bad-data", f"{job.source.path} has changed while it was scored")
        write_table(job.output, _columns(job, state), _rows(job, state))
        summary = _summary(job, state, rows, resumed)
        state.remove()
    return summary


def _version(state: StateFile) -> str:
    """The version that has answered; a batch about which nobody was asked names none."""
    return next((own.version for own in state.answers() if own.version), "") if state.done else ""


def _columns(job: Job, state: StateFile) -> list[Column]:
    numbers, texts = _extras(state)
    return [
        Column(job.source.id_column, numeric=False),
        Column(SCORE, numeric=True),
        *(Column(name, numeric=True) for name in numbers),
        *(Column(name, numeric=False) for name in texts),
        Column(DECISION, numeric=False),
        Column(RULE, numeric=False),
    ]


def _rows(job: Job, state: StateFile) -> Iterator[Sequence[object]]:
    numbers, texts = _extras(state)
    source = job.source.batches(job.batch_rows)
    for batch, answered in zip(source, state.answers(), strict=True):
        rules = {place: rule for rule, places in answered.rules.items() for place in places}
        for place, subject in enumerate(batch.subject_ids):
            rule = rules.get(place)
            yield (
                subject,
                answered.scores[place],
                *(answered.numbers[name][place] if name in answered.numbers else None for name in numbers),
                *(answered.texts[name][place] if name in answered.texts else None for name in texts),
                PERMIT if rule is None else DENY,
                rule,
            )


def _extras(state: StateFile) -> tuple[list[str], list[str]]:
    """Names of the further outputs; a batch in which everybody was denied has none."""
    numbers: dict[str, None] = {}
    texts: dict[str, None] = {}
    for answered in state.answers():
        numbers |= dict.fromkeys(answered.numbers)
        texts |= dict.fromkeys(answered.texts)
    return list(numbers), list(texts)


def _summary(job: Job, state: StateFile, rows: int, resumed: int) -> Summary:
    refused: Counter[str] = Counter()
    indices: list[int] = []
    told: Answered | None = None
    for answered in state.answers():
        refused.update({rule: len(places) for rule, places in answered.rules.items()})
        if answered.log_index is not None:
            indices.append(answered.log_index)
        told = answered if answered.version else told
    return Summary(
        output=job.output,
        rows=rows,
        scored=rows - refused.total(),
        refused=dict(sorted(refused.items())),
        resumed=resumed,
        model=job.question.model if told is None else f"{job.question.model}@{told.version}",
        model_digest="" if told is None else told.model_digest,
        agreement_digest="" if told is None else told.agreement_digest,
        log=(min(indices), max(indices)) if indices else (),
        opt_out_available=told is not None and told.opt_out_available,
        human_review_required=told is not None and told.human_review_required,
    )

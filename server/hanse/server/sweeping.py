"""Conducts sweeps: trial after trial, each a run of its own, and then the best as a model version.

Every trial goes through the same admission, statements, sums and entries as any run, under the agreement that
was signed, with the training that its trials name. One that fails is told in the table, and the next begins;
if the first fails before the members are prepared, or a trial is cancelled, the sweep ends with that error.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from hanse.audit import Event, EventType
from hanse.audit.shared_runs import TRIAL
from hanse.errors import HanseError, TrainingError
from hanse.learning import ModelManifest
from hanse.learning.trials import best_of
from hanse.policies import SignedAgreement
from hanse.server.party import RunContext
from hanse.server.rounds import Outcome, Resumed, Rounds
from hanse.server.runs import RunRecord, error_facts
from hanse.server.sweeps import SweepRecord
from hanse.server.transport import Transport


class Runs(Protocol):
    """How the coordinator conducts runs."""

    @property
    def logged(self) -> int:
        """Index of the last entry of the shared log."""
        ...

    def rounds(self, context: RunContext, record: RunRecord, transport: Transport) -> Rounds:
        """The rounds of a run over a transport."""
        ...

    def failed(self, agreement: str, record: RunRecord, error: Exception) -> None:
        """The last entry of a run that an error ended."""
        ...

    def manifest(self, context: RunContext, outcome: Outcome, record: RunRecord) -> ModelManifest:
        """What came of a run; version and time of registration are still to come."""
        ...

    def publish(
        self, context: RunContext, record: RunRecord, manifest: ModelManifest, model_file: bytes, entry: int
    ) -> tuple[str, str, Event]:
        """Registers a model version; returns ``name@version``, the manifest's digest and the entry."""
        ...

    def proven(self, name: str) -> bool:
        """Whether a model version has the proof of its registration."""
        ...


class Engine(Protocol):
    """Runs work with a transport to the members' nodes."""

    def run(self, work: Callable[[Transport], None], cancelled: Callable[[], bool]) -> None:
        """Returns when the work has ended."""
        ...


class SweepConductor:
    """See the module docstring.

    Args:
        runs: Conducts runs.
        engine: Reaches the members.
    """

    def __init__(self, runs: Runs, engine: Engine) -> None:
        self._runs = runs
        self._engine = engine

    def start(
        self,
        sweep: SweepRecord,
        signed: SignedAgreement,
        record: RunRecord | None,
        resumed: Resumed | None,
    ) -> None:
        """Goes on with a sweep, in a thread.

        Args:
            sweep: The sweep.
            signed: Its agreement, as it was signed.
            record: A trial that was begun and has not ended; None to begin the next.
            resumed: How far that one came in an earlier process; None if it begins.
        """
        arguments = (sweep, signed, record, resumed)
        threading.Thread(target=self._conduct, args=arguments, name=sweep.run, daemon=True).start()

    def _conduct(
        self,
        sweep: SweepRecord,
        signed: SignedAgreement,
        record: RunRecord | None,
        resumed: Resumed | None,
    ) -> None:
        """One sweep from the given trial to its end; every error ends in a named one."""
        try:
            self._engine.run(
                lambda transport: self._trials(sweep, signed, transport, record, resumed), sweep.cancelled
            )
        except Exception as error:  # noqa: BLE001 - what is kept of the sweep names it
            if sweep.interrupted:
                return  # the next process goes on with it
            for open_run in sweep.records:
                if not open_run.finished:
                    self._runs.failed(signed.digest, open_run, error)
            facts = {"code": "run.cancelled"} if sweep.cancelled() else error_facts(error)
            sweep.end({**facts, "trials": [each.model_dump() for each in sweep.results(signed)]})

    def _trials(
        self,
        sweep: SweepRecord,
        signed: SignedAgreement,
        transport: Transport,
        record: RunRecord | None,
        resumed: Resumed | None,
    ) -> None:
        """The trials that are left, and then the best of all as a model version."""
        while record is not None or sweep.left:
            record = record or sweep.next()
            context = RunContext(record.run, signed, signed.note, sweep.trial(record))
            try:
                self._trial(sweep, context, record, transport, resumed)
            except HanseError as error:
                begun = sweep.trial(record).number > 1 or record.told(EventType.RUN_PREPARED)
                if record.cancelled() or not begun:
                    raise
                self._runs.failed(signed.digest, record, error)
            record = resumed = None
        self._keep_best(sweep, signed)

    def _trial(
        self,
        sweep: SweepRecord,
        context: RunContext,
        record: RunRecord,
        transport: Transport,
        resumed: Resumed | None,
    ) -> None:
        """One trial: a run that leaves a draft instead of a model version."""
        rounds = self._runs.rounds(context, record, transport)
        try:
            outcome = rounds.conduct(resumed)
            sweep.keep(record, self._runs.manifest(context, outcome, record), outcome.model_file)
        except Exception as error:
            if not record.interrupted:
                rounds.finish("", "", error_facts(error)["code"])
            raise
        rounds.finish("", "", "")
        event = Event(
            type=EventType.RUN_FINISHED,
            agreement=context.signed.digest,
            run=context.run,
            purpose=context.agreement.purpose,
            detail=TRIAL,
        )
        facts = {**context.facts, "epsilon": dict(outcome.epsilon), **outcome.metrics.as_facts()}
        record.record(event, facts)

    def _keep_best(self, sweep: SweepRecord, signed: SignedAgreement) -> None:
        """Registers the best trial with the table of all; the others stay drafts."""
        results = sweep.results(signed)
        best = best_of(results)
        if best is None:
            raise TrainingError("run.no-trial", "; ".join(f"{each.run}: {each.code}" for each in results))
        results[best.number - 1] = best = best.model_copy(update={"kept": True})
        record = next(each for each in sweep.records if each.run == best.run)
        context = RunContext(best.run, signed, signed.note, sweep.trial(record))
        draft, model_file = sweep.draft(best.run)
        manifest = draft.model_copy(update={"trials": tuple(results)})
        registered = record.told(EventType.MODEL_REGISTERED)  # before this process was started
        name = str(registered[0]["model"]) if registered else ""
        if registered and not self._runs.proven(name):
            raise TrainingError("run.interrupted", f"{name} has no proof of its registration")
        if not registered:
            name = self._runs.publish(context, record, manifest, model_file, self._runs.logged)[0]
        sweep.end({"model": name, "trials": [each.model_dump() for each in results]})

"""Kills of the real processes at moments of a run, and what must be true of it and its ledgers afterwards."""

import functools
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hanse.audit.completeness import check_member, check_shared
from hanse.client.remote import RunEvent
from hanse.demo.federation import COORDINATOR
from hanse.errors import CATALOGUE, HanseError
from hanse.policies import ConsentLedger
from hanse.privacy import LedgerKey, PrivacyLedger

PURPOSE: Final = "joint_modelling.propensity"
TRAINING: Final = LedgerKey("customers:training", PURPOSE)
HOLDOUT: Final = LedgerKey("customers:holdout", PURPOSE)

MOMENTS: Final = ("run.started", "run.prepared", "round.aggregated", "run.evaluated")
"""What the victim is killed after: in the preparation, a round, a round or evaluation, the registration."""

WORTH: Final = 0.6
"""AUC that a run of these rounds reaches, however often it was interrupted."""

BUSY_S: Final = 60.0
"""How long a run may take to be over after it has said how it ended."""

DIFFERS: Final = frozenset(
    {"round-repeated", "round-skipped", "rows-differ", "statements-differ", "step-unstated"}
)
"""Findings that no kill explains."""


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        victim: Whose process.
        after: Event, by its type.
        round: Of the event; 0 for none.
        delay_s: After it.
    """

    victim: str
    after: str
    round: int
    delay_s: float


@dataclass(frozen=True)
class Ended:
    """How a run ended: ``finished``, or the code of its error; and how often the coordinator resumed it."""

    kills: Sequence[Kill]
    how: str
    resumed: int
    took_s: float
    auc: float | None
    events: Sequence[RunEvent]


def chance(below_s: float) -> float:
    """A number of seconds, evenly."""
    return below_s * secrets.randbelow(1000) / 1000


class Drill:
    """Runs of a federation whose processes are killed and started again.

    Args:
        running: It.
    """

    def __init__(self, running: Any) -> None:
        self.running = running
        self.sites = {site.data.name: site for site in running.federation.sites}

    def run(self, *kills: Kill) -> Ended:
        """One run with its kills; returns when it has ended.

        The run before may have said how it ended, and not be over yet: then it is asked for again.
        """
        until_s = time.monotonic() + BUSY_S
        while (ended := self._once(*kills)).how == "run.busy" and time.monotonic() < until_s:
            time.sleep(0.5)
        return ended

    def _once(self, *kills: Kill) -> Ended:
        began_s = time.monotonic()
        events: list[RunEvent] = []
        killers: dict[Kill, threading.Thread] = {}

        def hear(event: RunEvent) -> None:
            events.append(event)
            for kill in kills:
                if kill not in killers and (event.type, event.round) == (kill.after, kill.round):
                    killers[kill] = threading.Thread(target=self._kill, args=(kill,))
                    killers[kill].start()

        digest = self._submit()
        self._follow(lambda client: client.start(digest), hear)
        while not events or events[-1].type not in ("run.finished", "run.failed"):
            run, seen = events[0].run, list(events)
            events.clear()
            self._follow(functools.partial(_watch, run), hear)
            events[:] = events if len(events) >= len(seen) else seen
            assert time.monotonic() - began_s < 400, [event.type for event in events]
        for thread in killers.values():
            thread.join()
        last = events[-1]
        how = "finished" if last.type == "run.finished" else str(last.facts["code"])
        resumed = [event.type for event in events].count("run.resumed")
        return Ended(kills, how, resumed, time.monotonic() - began_s, last.facts.get("auc"), events)

    def check(self, ended: Ended) -> None:
        """What must be true of a run, however it ended."""
        assert ended.how == "finished" or ended.how in CATALOGUE, ended
        assert ended.how != "internal.error", ended
        if ended.how == "finished" and ended.auc is not None:
            # With a budget the figure is noisy, and says by how much.
            noise = 3 * float(ended.events[-1].facts.get("auc_standard_error") or 0.0)
            assert ended.auc + noise > WORTH, ended
        self.running.logs_verify()
        found = {finding.kind for finding in check_shared(self.running.log(COORDINATOR))}
        assert not found & DIFFERS, (found, ended)
        for name, site in self.sites.items():
            found = {finding.kind for finding in check_member(self.running.log(name), name)}
            assert not found & DIFFERS, (name, found, ended)
            with ConsentLedger(site.home.consent) as ledger:
                ledger.verify()
            self._check_ledger(site, ended)

    def grant_anew(self) -> None:
        """Gives every member a ledger in which nothing was spent: a budget is for one run of these."""
        processes, federation = self.running.processes, self.running.federation
        for name, site in self.sites.items():
            processes.kill(name)
            for file in site.home.privacy.parent.glob(f"{site.home.privacy.name}*"):
                file.unlink()
            federation.start_node(processes, site)
        for name in self.sites:
            processes.wait_until_ready(name)

    def _check_ledger(self, site: Any, ended: Ended) -> None:
        """Never more than was granted; a finished run has cost what it would have without a kill."""
        privacy = self.running.agreement.privacy
        ledger = PrivacyLedger(site.home.privacy)
        if privacy is None:
            assert not ledger.spent_events(TRAINING)
            return
        assert max(ledger.spent(key, privacy.delta) for key in (TRAINING, HOLDOUT)) <= privacy.epsilon
        left = {event.facts["member"] for event in ended.events if event.type == "member.left"}
        if ended.how == "finished" and site.data.name not in left:
            training = self.running.agreement.training
            run = ended.events[0].run
            steps = sum(getattr(event, "steps", 0) for event in ledger.spent_events(TRAINING, run))
            assert steps == training.rounds * training.local_steps
            counted = sum(getattr(event, "count", 0) for event in ledger.spent_events(HOLDOUT, run))
            assert counted == training.rounds + 1

    def _submit(self) -> str:
        with self.running.client() as client:
            return str(client.submit(self.running.signed.note))

    def _follow(self, stream: Any, hear: Any) -> None:
        """Follows a run as far as the coordinator lives."""
        try:
            with self.running.client() as client:
                for event in stream(client):
                    hear(event)
        except HanseError:
            time.sleep(1.0)

    def _kill(self, kill: Kill) -> None:
        time.sleep(kill.delay_s)
        processes, federation = self.running.processes, self.running.federation
        processes.kill(kill.victim)
        if kill.victim == COORDINATOR:
            self.running.start_coordinator()
        else:
            federation.start_node(processes, self.sites[kill.victim])
            processes.wait_until_ready(kill.victim)


def _watch(run: str, client: Any) -> Any:
    return client.watch(run)

"""Real runs in one process, and their logs to take apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import LocalFederation, LocalTransport, copy_of, open_federation

from hanse.api.v1 import round_pb2 as pb
from hanse.audit import Actor, AuditLog, Counts, Entry, Event, EventType, VerifiedLog, verify_log
from hanse.audit.completeness import Finding, check_against, roots_at, stated_sizes
from hanse.crypto import SigningKey
from hanse.errors import HanseError

Hook = Callable[[int], None]


@dataclass(frozen=True)
class Story:
    """The logs after some runs, by name; ``shared`` is the coordinator's."""

    verified: dict[str, VerifiedLog]
    folder: Path

    @cached_property
    def logs(self) -> dict[str, list[Entry]]:
        return {name: list(log.entries) for name, log in self.verified.items()}

    @property
    def members(self) -> list[str]:
        return [name for name in self.verified if name != "shared"]

    def stated_sizes(self, member: str) -> frozenset[int]:
        return stated_sizes(self.logs["shared"], member)

    def compare(
        self, member: str, *, shared: Sequence[Entry] | None = None, own: Sequence[Entry] | None = None
    ) -> list[Finding]:
        """Compares a member's log with the shared one, either of them changed."""
        shared = self.logs["shared"] if shared is None else shared
        own = self.logs[member] if own is None else own
        roots = roots_at([entry.canonical() for entry in own], stated_sizes(shared, member))
        return check_against(shared, member, own, roots.__getitem__, self.verified[member].keys)


def without(entries: Sequence[Entry], index: int) -> list[Entry]:
    """The entries, one taken out; the numbers of its actor show that."""
    return [*entries[:index], *entries[index + 1 :]]


def unwritten(entries: Sequence[Entry], index: int) -> list[Entry]:
    """The entries as they would be if one had never been written: its actor's later ones count on."""
    gone = entries[index]
    rest = [
        entry.model_copy(update={"seq": entry.seq - 1})
        if entry.actor == gone.actor and entry.seq > gone.seq
        else entry
        for entry in entries
    ]
    return without(rest, index)


def changed(entries: Sequence[Entry], index: int, **fields: Any) -> list[Entry]:
    """The entries, one with other fields."""
    return [*entries[:index], entries[index].model_copy(update=fields), *entries[index + 1 :]]


def conduct(local: LocalFederation, transport: LocalTransport, before_round: Hook = lambda _: None) -> None:
    """One run from start to its last entry, as the coordinator conducts it."""

    def before(commands: Mapping[str, bytes]) -> None:
        for body in commands.values():
            command = pb.Command.FromString(pb.SignedMessage.FromString(body).body)
            if command.WhichOneof("step") == "train":
                before_round(command.train.round)
                return

    transport.before = before
    rounds, record = local.rounds(transport)
    fields: dict[str, Any] = {"agreement": local.signed.digest, "run": record.run}
    try:
        rounds.conduct()
    except HanseError as error:
        rounds.finish("", "", error.code)
        record.record(Event(type=EventType.RUN_FAILED, reasons=(error.code,), **fields), {})
        return
    fields |= {"purpose": local.agreement.purpose, "model_out": "5" * 64}
    record.record(Event(type=EventType.MODEL_REGISTERED, **fields), {})
    rounds.finish("propensity@1", "5" * 64, "")
    record.record(Event(type=EventType.RUN_FINISHED, **fields), {})


def read(local: LocalFederation) -> Story:
    logs = {"shared": verify_log(local.home.log, local.key.verifier)}
    for site in local.federation.sites:
        key = SigningKey.load(site.home.node_key).verifier
        logs[site.data.name] = verify_log(site.home.log, key, origin=site.data.name)
    return Story(logs, local.federation.folder)


def with_withdrawal(local: LocalFederation) -> None:
    """A run in which a subject withdraws, then one for which too little budget is left; scores."""
    site = local.federation.sites[1]
    subject = str(site.written.subject_ids[site.written.profiles == "granted"][0])

    def withdraw(number: int) -> None:
        if number == 2:
            local.federation.withdraw(site, subject, local.agreement.purpose, datetime.now(UTC))

    conduct(local, local.transport(), withdraw)
    conduct(local, local.transport())
    score(local)


def with_losses(local: LocalFederation) -> None:
    """A run that fails for want of members, one that a member leaves, one that all refuse."""
    failing = local.transport()
    conduct(local, failing, lambda _: failing.silent.update({"brand", "insurer"}))
    leaving = local.transport()
    conduct(local, leaving, lambda number: leaving.silent.update({"media"} if number > 1 else ()))
    conduct(local, local.transport())


def score(local: LocalFederation) -> None:
    """What the scorer of the first member logs: a start, answers, one of them taken back, a refusal."""
    site = local.federation.sites[0]
    key = SigningKey.load(site.home.node_key)
    actor = Actor(organisation=site.data.name, key_id=key.verifier.key_id, role="scorer")
    log = AuditLog.open(site.home.log, key, actor)
    fields: dict[str, Any] = {"agreement": local.signed.digest, "model_in": "5" * 64}
    log.append(Event(type=EventType.SCORER_STARTED, **fields))
    counts = Counts(rows_in=5, rows_out=4, by_rule={"P26": 1})
    log.append(Event(type=EventType.SCORE_ANSWERED, decision="permit", counts=counts, **fields))
    fewer = Counts(rows_in=4, rows_out=3, by_rule={"P26": 1})
    log.append(Event(type=EventType.SCORE_WITHHELD, decision="permit", counts=fewer, **fields))
    none = Counts(rows_in=3, rows_out=3)
    log.append(Event(type=EventType.SCORE_WITHHELD, decision="deny", reasons=("P23",), counts=none, **fields))
    log.append(Event(type=EventType.SCORE_DENIED, decision="deny", reasons=("P23",), **fields))


@pytest.fixture(scope="session")
def stories(
    tmp_path_factory: pytest.TempPathFactory, templates: Callable[..., Any]
) -> Callable[[str], Story]:
    """The logs after real runs, each made once: ``withdrawal``, or ``losses`` of members."""
    made: dict[str, Story] = {}

    def story(name: str) -> Story:
        if name not in made:
            losses = name == "losses"
            template, note = templates(3 if losses else 2, 3.0, rounds=2)
            folder = Path(tmp_path_factory.mktemp("completeness")) / "federation"
            local = open_federation(copy_of(template, folder), note)
            local.shared_log.append(Event(type=EventType.AGREEMENT_ACCEPTED, agreement=local.signed.digest))
            (with_losses if losses else with_withdrawal)(local)
            made[name] = read(local)
        return made[name]

    return story


@pytest.fixture(params=["withdrawal", "losses"])
def story(request: pytest.FixtureRequest, stories: Callable[[str], Story]) -> Story:
    return stories(request.param)

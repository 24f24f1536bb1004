"""Logs to export, from real log files; and packages whose manifest was signed again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.audit import Actor, AuditLog, Counts, Event, EventType, PrivacySpend
from hanse.audit.policy_file import TrustPolicy, quorum_of
from hanse.crypto import SigningKey
from hanse.crypto.cosigning import CosignerKey
from hanse.evidence import Evidence, build_package, collect, verify
from hanse.evidence.package import sign_manifest

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
RUN = "run-20260601-080000-a1b2c3"


class Ticks:
    """A clock that goes a second further whenever it is read."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def events_of_run(rounds: int = 2) -> list[Event]:
    """What a member logs of a run."""
    agreement = "ab" * 32
    events = [Event(type=EventType.MEMBER_INITIALISED)]
    events.append(Event(type=EventType.AGREEMENT_SIGNED, agreement=agreement))
    for number in range(1, rounds + 1):
        counts = Counts(rows_in=1000, rows_out=900 - number, by_rule={"P10": 90 + number, "P04": 10})
        admitted = Event(
            type=EventType.ROUND_ADMITTED, run=RUN, round=number, decision="permit", counts=counts
        )
        spend = PrivacySpend(epsilon=0.5 * number, delta=1e-5)
        trained = Event(
            type=EventType.ROUND_TRAINED, run=RUN, round=number, rows_used=900 - number, privacy=spend
        )
        events += [admitted, trained]
    reasons = ("policy.cohort", "P15")
    events.append(
        Event(type=EventType.ROUND_DENIED, run=RUN, round=rounds + 1, decision="deny", reasons=reasons)
    )
    return events


@dataclass
class MadeLog:
    """A log on disk, its key, and witnesses that co-sign it."""

    place: Path
    key: SigningKey
    log: AuditLog

    def cosign(self, *witnesses: CosignerKey) -> None:
        note = self.log.checkpoint()
        text = note.decode().partition("\n\n")[0] + "\n"
        for witness in witnesses:
            self.log.cosign(self.log.size, witness.cosign(text, START))

    def evidence(self, policy: TrustPolicy | None = None) -> Evidence:
        return collect(self.place, None if policy is None else lambda _: policy)

    def package(self, run: str | None = None, policy: TrustPolicy | None = None) -> bytes:
        return build_package(self.evidence(policy), self.key, {}, run=run)

    def policy(self, threshold: int, *witnesses: CosignerKey) -> TrustPolicy:
        return quorum_of(self.key.verifier, [witness.verifier for witness in witnesses], threshold)


@pytest.fixture(scope="session")
def make_log(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., MadeLog]:
    """Makes a log: ``make_log(events, name="brand", organisation="Brand AG", role="member")``."""

    def make(
        events: list[Event], name: str = "brand", organisation: str = "Brand AG", role: str = "member"
    ) -> MadeLog:
        place, key = tmp_path_factory.mktemp("log") / "audit.db", SigningKey.generate(name)
        AuditLog.create(place, name, key)
        actor = Actor(organisation=organisation, key_id=key.verifier.key_id, role=role)
        log = AuditLog.open(place, key, actor, Ticks())
        for event in events:
            log.append(event)
        return MadeLog(place, key, log)

    return make


@pytest.fixture(scope="session")
def member_log(make_log: Callable[..., MadeLog]) -> MadeLog:
    """The log of a member with one run; not to be appended to."""
    return make_log(events_of_run())


@pytest.fixture(scope="session")
def package(member_log: MadeLog) -> bytes:
    """A package of it."""
    return member_log.package()


Outcome = dict[str, tuple[str, str]]
"""Verdict and detail by check."""


@pytest.fixture(scope="session")
def outcome() -> Callable[..., Outcome]:
    """Checks a package: ``outcome(data, keys=(), saved=None)``."""

    def check(data: bytes, keys: tuple[str, ...] = (), saved: bytes | None = None) -> Outcome:
        results = verify.check_package(verify.Package(data, keys, saved))
        return {name: (verdict, detail) for name, verdict, detail in results}

    return check


@pytest.fixture(scope="session")
def repack() -> Callable[..., bytes]:
    """What an exporter can do who is not honest: other files under a manifest that it signs again."""

    def make(data: bytes, key: SigningKey, changes: Mapping[str, bytes | None]) -> bytes:
        files = {**verify.read_archive(data), **changes}
        kept = {name: content for name, content in files.items() if content is not None}
        scope = kept.pop(verify.MANIFEST).decode().split("\n")[1]
        kept[verify.MANIFEST] = sign_manifest(kept, key, None if scope == "all" else scope[4:])
        return b"".join(piece for _, piece in verify.archive(kept))

    return make

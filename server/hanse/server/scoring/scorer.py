"""The scorer: decides, scores, logs, and only then answers. It knows no protocol."""

import asyncio
import hashlib
import hmac
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hanse.errors import AuditError, HanseError, PolicyError, ServingError
from hanse.learning.subject_values import SubjectValues, without
from hanse.policies import Agreement, ConsentLedger, Job, Pseudonymiser, daily_rows
from hanse.server.completions import Meanwhile
from hanse.server.scoring.alike import AlikeCall, AlikeCalls, Permitted
from hanse.server.scoring.asked import Ahead, Answer, Asked, Extra, Facts, LogPlace, Output, Reader
from hanse.server.scoring.borders import known
from hanse.server.scoring.commits import GroupCommit
from hanse.server.scoring.consents import Consents
from hanse.server.scoring.entries import answered, denied, withheld
from hanse.server.scoring.freshness import Freshness, Unbounded, elapsed_s, reading_consents
from hanse.server.scoring.layouts import Alike, subjects_of
from hanse.server.scoring.leases import Account
from hanse.server.scoring.looked_up import looked_up
from hanse.server.scoring.minimising import everybody, said
from hanse.server.scoring.models.following import Follower
from hanse.server.scoring.models.statistics import Statistics
from hanse.server.scoring.quota import Quota, Uncounted
from hanse.server.scoring.served import Calling, Columns, LocalModel, ModelTable, Scored, Scores, Served
from hanse.server.scoring.telling import tell
from hanse.server.scoring.turns import AlikeTold, Turn, Turns, Work

_Said: TypeAlias = tuple[npt.NDArray[np.float32], Mapping[str, Output]]
AlikeAnswer: TypeAlias = tuple[Facts, Answer | Exception] | BaseException | None
_MOST_LOOKS: Final = 2
_DIGEST_CONTEXT: Final = b"hanse/score-request/v1\0"


class _Decided(NamedTuple):
    """See :class:`hanse.server.scoring.turns.Turn`."""

    finish: Callable[[Scores], _Said]
    work: Work | Scores


def _no_notes(_agreement: Agreement) -> None:
    """Where no notes of members are kept, none ends an agreement."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a scorer works with; all of it checked when it was loaded.

    Attributes:
        member: Name of the member that scores.
        table: The model versions that are served.
        ledger: The member's consent ledger.
        pseudonym_key: Secret that turns identifiers into the ledger's pseudonyms.
        log: The member's audit log.
        clock: Tells the time, aware.
        maximum_rows: Most subjects in one call.
        remembered_subjects: Of so many subjects decisions are kept in memory, at most.
        quota: Counts the subjects that callers ask about.
        features: Where columns come from that a call does not bring; None if it must.
        follower: Keeps the table as it was decided; None for a table that stays.
        statistics: Counts calls by version.
        extras: What is said beside scores.
        freshness: How old what a call is decided on may be.
        calls_per_caller: Calls of one caller that may be under way at a time.
        require_running: Refuses an agreement that a member has ended; asked at every call.
    """

    member: str
    table: ModelTable
    ledger: ConsentLedger
    pseudonym_key: bytes
    log: GroupCommit
    clock: Callable[[], datetime]
    maximum_rows: int
    remembered_subjects: int
    quota: Quota = field(default_factory=Uncounted)
    features: SubjectValues | None = None
    follower: Follower | None = None
    statistics: Statistics = field(default_factory=Statistics)
    extras: Sequence[Extra] = ()
    freshness: Freshness = field(default_factory=Unbounded)
    calls_per_caller: int = 128
    require_running: Callable[[Agreement], None] = _no_notes


class Scorer:
    """Answers scoring calls; every call leaves its entry in the log, whether it is answered or refused.

    The order of the checks: caller, purpose, shape (the reader's, with :meth:`admit` in between), quota,
    subjects; then the scores of those admitted.

    Args:
        site: What it works with.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        ref = Pseudonymiser(site.pseudonym_key).ref
        self._keyed = hmac.new(site.pseudonym_key, _DIGEST_CONTEXT, hashlib.sha256)
        self._consents = Consents(site.ledger, ref, site.member, site.remembered_subjects)
        self._turns = Turns(site.log, AlikeCalls(site, self._consents))
        self._under_way: Counter[str] = Counter()

    async def answer(self, body: bytes, read: Reader) -> Answer:
        """Answers one call.

        Args:
            body: What was received; the log names it by a digest.
            read: Reads it. It notes in the facts what it learns, as it learns it, and calls :meth:`admit`
                before it looks at anything that the model or the agreement does not allow.

        Returns:
            The answer; its entry is on disk.

        Raises:
            HanseError: Why the call is refused. The refusal is on disk, unless the log itself is the reason.
        """
        facts, began_ns = Facts(self._digest(body)), time.perf_counter_ns()
        with ExitStack() as place:
            try:
                asked = read(facts)
                place.enter_context(self._one_more(asked.caller))
                decided = await self._decide(facts, asked)
            except asyncio.CancelledError:
                error = ServingError("scoring.abandoned", "it was given up before it was answered")
                tell(facts, await self.site.log.append(denied(facts, self.site.table.primary, error)))
                raise
            except Exception as raised:  # noqa: BLE001 - a call that failed leaves an entry, whatever failed
                raise await self._refused(facts, raised, began_ns) from None
            try:
                (scores, outputs), entry = await self._take(facts, decided)
            except AuditError:
                raise
            except Exception as raised:  # noqa: BLE001 - likewise
                raise await self._refused(facts, raised, began_ns) from None
            tell(facts, entry.index)
        # The log may have taken its time. The entry stays: it says what was decided, and on what.
        self._require_current(facts, asked)
        if facts.consent is None:
            raise PolicyError("policy.ledger", "nobody was asked about")
        self.site.statistics.answered(asked.served, facts.rows, time.perf_counter_ns() - began_ns)
        return Answer(asked.served, scores, facts.rules, outputs, entry, facts.consent, marks=facts.marks)

    def answer_alike(
        self, caller: str, purpose: str, request: Alike, body: bytes, then: Callable[[AlikeAnswer], None]
    ) -> bool:
        """Answers a call that looks like one before, if nothing is wrong with it.

        Args:
            caller: Name of the authenticated caller.
            purpose: The use that the caller declares.
            request: What it asks.
            body: What was received.
            then: Is called, and must not raise, with what is known of the call, whose entry is on disk, and
                the answer, or why it may not be given any more; with None if :meth:`answer` is to decide,
                and nothing has happened; or with what that would raise.

        Returns:
            Whether ``then`` will be called; if not, :meth:`answer` is to decide.
        """
        subjects = subjects_of(request)
        if subjects is None or not self._consents.remembers(
            request.layout.bound_to, bytes(next(iter(subjects)))
        ):
            return False
        if self._under_way[caller] >= self.site.calls_per_caller:
            return False
        began_ns = time.perf_counter_ns()
        call = AlikeCall(caller, purpose, request, subjects, self._digest(body))
        self._under_way[caller] += 1

        def told(found: AlikeTold) -> None:
            self._under_way[caller] -= 1
            if found is None or isinstance(found, BaseException):
                then(found)
                return
            facts = _facts(call, *found)
            try:
                answer = self._alike(call, facts, *found)
            except Exception as error:  # noqa: BLE001 - it refuses this call, and no other
                then((facts, error))
                return
            self.site.statistics.answered(answer.served, facts.rows, time.perf_counter_ns() - began_ns)
            then((facts, answer))

        self.site.quota.when_ready(caller, request.layout.rows, lambda: self._turns.hand_in(call, told))
        return True

    def _alike(self, call: AlikeCall, facts: Facts, permitted: Permitted, entry: LogPlace) -> Answer:
        """What is answered to a call whose entry is on disk, if it holds now.

        Raises:
            ServingError: ``scoring.stale``.
        """
        served = permitted.served
        self.site.freshness.require()
        if not self.site.freshness.settled(permitted.read_at):
            facts.rules = _nobody(len(call.subjects))
            names = [bytes(name).decode() for name in call.subjects]
            self._require_current(facts, Asked(call.caller, call.purpose, served, names, None))
        return Answer(served, permitted.scores, _nobody(facts.rows), {}, entry, permitted.consent)

    async def _refused(self, facts: Facts, raised: Exception, began_ns: int) -> HanseError:
        """The error of a call whose refusal is on disk."""
        error = known(raised)  # which notes where an unforeseen one came from
        self.site.statistics.refused(facts.served, time.perf_counter_ns() - began_ns)
        tell(facts, await self.site.log.append(denied(facts, self.site.table.primary, error)))
        return error

    def extra_outputs(self, served: Served) -> dict[str, str]:
        """Names of the extra outputs that a model version serves, and their types in the protocol."""
        extras = {name: kind for extra in self.site.extras for name, kind in extra.names(served).items()}
        return {**served.outputs, **extras}

    def admit(self, facts: Facts, model: str, version: str, key: bytes = b"") -> Served:
        """Refuses a call that the agreement of the model does not allow, whoever it is about.

        Args:
            facts: Caller and purpose are known; gets the rest.
            model: Name of the model asked for.
            version: Version asked for; empty for whichever is served.
            key: See :meth:`hanse.server.scoring.served.ModelTable.route`.

        Returns:
            The model version that answers.

        Raises:
            PolicyError: As :func:`hanse.policies.check_call`; ``policy.denied`` (P20) if a member has ended
                the agreement.
            ServingError: ``model.not-found``.
        """
        if facts.caller is None or facts.purpose is None:
            raise PolicyError("policy.denied", "neither caller nor purpose may be unknown", rule="P23")
        served = facts.served = self.site.table.route(model, version, key)
        self.site.require_running(served.agreement.agreement)
        facts.job = self._consents.open_call(served, facts.caller, facts.purpose, self.site.clock())
        return served

    async def _decide(self, facts: Facts, asked: Asked) -> _Decided:
        """Quota, subjects; what is left is the model, and the form in which scores may leave."""
        if facts.job is None:
            raise PolicyError("policy.denied", "a call that was not admitted", rule="P01")
        job = facts.job
        if job.agreement.scoring.by_id and asked.columns is not None:
            raise PolicyError("policy.denied", "callers name people alone, and bring no columns", rule="P27")
        self.site.freshness.require()
        await self._charge(job, asked)
        try:
            hidden = self._look_up(facts, job, asked)
        except HanseError:
            self.site.quota.take_back(*_charged(job, asked))
            raise
        _require_anybody(facts)
        columns = asked.columns
        if columns is None:
            columns, unknown = await looked_up(self.site.features, asked, facts.rules)
            facts.rules = _denied_too(facts.rules, unknown)
            _require_anybody(facts)
        if hidden:
            columns = without(columns, hidden)
            facts.hidden = hidden
        is_all = facts.rules.count(None) == facts.rows
        admitted = np.array([rule is None for rule in facts.rules]) if not is_all else everybody(facts.rows)
        served = asked.served
        work: Work | Scores
        outputs: dict[str, Output] = {}
        if isinstance(served, LocalModel) and not (asked.outputs or asked.reasons):
            own = columns if is_all else {name: values[admitted] for name, values in columns.items()}
            work = Work(served, own, int(admitted.sum()))
        else:
            admitted, scored = await self._scored(facts, asked, columns, admitted)
            is_all = facts.rules.count(None) == facts.rows
            work = scored.probabilities
            outputs |= {name: values for name, values in scored.outputs.items() if name in asked.outputs}
            for extra in self.site.extras:
                outputs |= await extra.outputs(asked, columns, admitted, work)

        def finish(probabilities: Scores) -> _Said:
            told = said(served, columns, admitted, probabilities)
            if is_all:
                return told, outputs
            scores = np.full(facts.rows, np.nan, dtype=np.float32)
            scores[admitted] = told
            return scores, outputs

        return _Decided(finish, work)

    async def _scored(
        self, facts: Facts, asked: Asked, columns: Columns, admitted: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.bool_], Scored]:
        """Who is scored after other members have had their say, and what the model says of these."""
        calling = Calling(asked.caller, asked.purpose, asked.subjects, asked.until, asked.outputs)
        scored = await self._meanwhile(facts, asked.served.scored(calling, columns, admitted))
        facts.marks, facts.alone = scored.marks, scored.alone
        if not any(map(math.isnan, scored.probabilities.tolist())):
            return admitted, scored
        is_denied = np.isnan(scored.probabilities)
        facts.rules = _denied_too(facts.rules, np.flatnonzero(admitted)[is_denied].tolist())
        _require_anybody(facts)
        left = replace(scored, probabilities=scored.probabilities[~is_denied])
        return np.array([rule is None for rule in facts.rules]), left

    async def _meanwhile(self, facts: Facts, scoring: Coroutine[Any, Any, Scored]) -> Scored:
        """Scores; if that has to wait for others, the entry is written meanwhile (docs/adr/0061)."""
        rules = facts.rules
        writing: asyncio.Future[tuple[None, LogPlace]] | None = None

        def write() -> None:
            nonlocal writing
            writing = self._turns.write(answered(facts, self.site.table.primary))

        try:
            return await Meanwhile(scoring, write)
        finally:
            # Also of a call that fails: what takes the entry back must come after it.
            if writing is not None:
                if not writing.done():
                    await asyncio.wait([writing])
                facts.ahead = Ahead(writing.result()[1], rules)

    async def _take(self, facts: Facts, decided: _Decided) -> tuple[_Said, LogPlace]:
        """Waits for the turn of a call, or answers one whose entry is on disk already.

        Raises:
            AuditError: ``audit.unavailable`` or ``audit.integrity``; nothing may be answered then.
            Exception: What the model or ``finish`` raised.
        """
        (finish, work), ahead, primary = decided, facts.ahead, self.site.table.primary
        if ahead is None or isinstance(work, Work):
            return await self._turns.take(Turn(answered(facts, primary), finish, work))
        told = finish(work)
        if facts.rules == ahead.rules:
            return told, ahead.place
        return told, (await self._turns.write(withheld(facts, primary)))[1]

    @contextmanager
    def _one_more(self, caller: str) -> Iterator[None]:
        """Counts a call that is under way, unless its caller has as many as it may."""
        if self._under_way[caller] >= self.site.calls_per_caller:
            raise ServingError("scoring.busy", f"{self.site.calls_per_caller} calls of it are under way")
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1

    async def _charge(self, job: Job, asked: Asked) -> None:
        """The quota (P27), before anybody is looked up."""
        account, rows, now = _charged(job, asked)
        await self.site.quota.charge(account, daily_rows(job, asked.caller), rows, now)

    def _look_up(self, facts: Facts, job: Job, asked: Asked) -> Mapping[str, Sequence[int]]:
        """What the consents of the subjects say; noted at once, or not at all."""
        facts.read_at = elapsed_s()
        with reading_consents():
            rules, hidden, consent = self._consents.decide(asked.served, job, asked.subjects)
        facts.rows, facts.consent, facts.rules = len(asked.subjects), consent, rules
        return hidden

    def _require_current(self, facts: Facts, asked: Asked) -> None:
        """What is answered holds now; consents that were read a while ago are read again.

        Other members read those of their parts when they were asked, so that these cannot be read again here.
        Where a member did not answer in time, and own columns do, there are only those of this one.
        """
        freshness = self.site.freshness
        freshness.require()
        for _ in range(_MOST_LOOKS if facts.alone else 0):
            if facts.read_at is None or freshness.settled(facts.read_at):
                return
            if not self._holds_still(facts, asked):
                raise ServingError("scoring.stale", "it would be decided otherwise by now")
        if facts.read_at is not None and not freshness.counts(facts.read_at):
            raise ServingError("scoring.stale", "the answer was ready too long after consents were read")

    def _holds_still(self, facts: Facts, asked: Asked) -> bool:
        """Whether nobody would be denied, and no value hidden, that was not."""
        facts.read_at = elapsed_s()
        job = self._consents.open_call(asked.served, asked.caller, asked.purpose, self.site.clock())
        with reading_consents():
            now = self._consents.decide(asked.served, job, asked.subjects)
        newly = (rule for rule, before in zip(now.rules, facts.rules, strict=True) if before is None)
        return not any(newly) and now.hidden == facts.hidden

    def _digest(self, body: bytes) -> str:
        """See :func:`request_digest`; the key is prepared once."""
        keyed = self._keyed.copy()
        keyed.update(body)
        return keyed.hexdigest()


def request_digest(key: bytes, body: bytes) -> str:
    """Names a request in the log. Keyed: a bare hash would confirm a guess of who was asked about.

    Args:
        key: The site's pseudonym key.
        body: The request, as received.

    Returns:
        HMAC-SHA256, 64 hex digits.
    """
    return hmac.digest(key, _DIGEST_CONTEXT + body, hashlib.sha256).hex()


def _facts(call: AlikeCall, permitted: Permitted, entry: LogPlace) -> Facts:
    """What is known of a call that looks like one before, once its entry is on disk."""
    facts = Facts(call.digest, call.caller, call.purpose, served=permitted.served)
    facts.rows, facts.read_at, facts.log_index = call.request.layout.rows, permitted.read_at, entry.index
    return facts


@lru_cache(maxsize=64)
def _nobody(rows: int) -> tuple[None, ...]:
    """The rules of a call, where none denied anybody."""
    return (None,) * rows


def _charged(job: Job, asked: Asked) -> tuple[Account, int, datetime]:
    """What is charged for a call, and taken back if it comes to nobody's data."""
    return Account(job.agreement.id, asked.caller), len(asked.subjects), job.now


def _denied_too(rules: Sequence[str | None], positions: Collection[int]) -> tuple[str | None, ...]:
    """The rules, by which some more subjects are denied; the caller does not learn why."""
    if not positions:
        return tuple(rules)
    return tuple("P26" if position in positions else rule for position, rule in enumerate(rules))


def _require_anybody(facts: Facts) -> None:
    if None not in facts.rules:
        only = facts.rules[0] if len(set(facts.rules)) == 1 else None
        raise PolicyError("policy.denied", "every subject of the call is denied", rule=only)

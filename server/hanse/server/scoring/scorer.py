"""The scorer: decides, scores, logs, and only then answers."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.audit import ConsentState, Counts, Event, EventType
from hanse.errors import HanseError, PolicyError, ServingError
from hanse.learning.artifact import LoadedModel
from hanse.policies import (
    POLICY_DIGEST,
    PURPOSES,
    ConsentLedger,
    ConsentSnapshot,
    Job,
    Policy,
    Pseudonymiser,
    SignedAgreement,
    check_call,
    check_columns,
    score_subjects,
)
from hanse.server.scoring.borders import known, parse
from hanse.server.scoring.call import SUBJECT_INPUT, Answers, Call, minimised, read_call, write_outputs
from hanse.server.scoring.commits import GroupCommit

PURPOSE_PARAMETER: Final = "purpose"
_DIGEST_CONTEXT: Final = b"hanse/score-request/v1\0"


@dataclass(frozen=True, slots=True)
class Site:
    """What a scorer works with; all of it checked when it was loaded.

    Attributes:
        agreement: The agreement that every member signed.
        member: Name of the member that scores.
        policy: The rule packs that apply, merged.
        model: The model version that is served.
        ledger: The member's consent ledger.
        pseudonym_key: Secret that turns identifiers into the ledger's pseudonyms.
        log: The member's audit log.
        clock: Tells the time, aware.
        maximum_rows: Most subjects in one call.
    """

    agreement: SignedAgreement
    member: str
    policy: Policy
    model: LoadedModel
    ledger: ConsentLedger
    pseudonym_key: bytes
    log: GroupCommit
    clock: Callable[[], datetime]
    maximum_rows: int


@dataclass(slots=True)
class _Facts:
    """What is known about a call so far; the entry of a refused call says no more than this."""

    request_digest: str
    caller: str | None = None
    purpose: str | None = None
    rows: int = 0
    rules: tuple[str | None, ...] = ()
    consent: ConsentSnapshot | None = None


class Scorer:
    """Answers scoring calls for one model version under one agreement.

    Every call leaves exactly one entry in the log, whether it is answered or refused.

    Args:
        site: What it works with.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._pseudonymiser = Pseudonymiser(site.pseudonym_key)

    async def infer(
        self, identify: Callable[[], str], body: bytes, declared_purposes: Collection[str]
    ) -> oip.ModelInferResponse:
        """Answers one call.

        Args:
            identify: Name of the caller, or raises.
            body: The serialised request, as received.
            declared_purposes: Purposes named in the metadata of the call.

        Returns:
            The response; its entry is on disk.

        Raises:
            HanseError: Why the call is refused. The refusal is on disk, unless the log itself is the reason.
        """
        facts = _Facts(self._digest(body))
        try:
            request, call, answers = self._decide(facts, identify, body, declared_purposes)
        except Exception as raised:  # noqa: BLE001 - a call that failed leaves an entry, whatever failed
            error = known(raised)
            await self.site.log.append(self._denied(facts, error))
            raise error from None  # `known` has noted where an unforeseen one came from
        index = await self.site.log.append(self._answered(facts))
        return self._response(request, call, answers, index)

    def _decide(
        self, facts: _Facts, identify: Callable[[], str], body: bytes, declared_purposes: Collection[str]
    ) -> tuple[oip.ModelInferRequest, Call, Answers]:
        """Every check in its order: caller, purpose, shape, subjects; then the scores of those admitted."""
        now = self.site.clock()
        agreement = self.site.agreement.agreement
        facts.caller = identify()
        request = parse(oip.ModelInferRequest, body)
        facts.purpose = _purpose(request, declared_purposes)
        opening_head = self.site.ledger.head()
        job = Job(agreement, self.site.policy, agreement.scoring.purpose, now, self.site.member, opening_head)
        check_call(job, facts.caller, facts.purpose)
        check_columns(agreement, [tensor.name for tensor in request.inputs if tensor.name != SUBJECT_INPUT])
        self.require_model(request.model_name, request.model_version)
        call = read_call(request, agreement.columns, self.site.maximum_rows)
        facts.rows = len(call.subjects)
        refs = [self._pseudonymiser.ref(subject) for subject in call.subjects]
        facts.consent = self.site.ledger.snapshot(now, refs)
        facts.rules = tuple(score_subjects(job, refs, facts.consent))
        if None not in facts.rules:
            only = facts.rules[0] if len(set(facts.rules)) == 1 else None
            raise PolicyError("policy.denied", "every subject of the call is denied", rule=only)
        return request, call, Answers(self._scores(call, facts.rules), facts.rules)

    def _scores(self, call: Call, rules: tuple[str | None, ...]) -> npt.NDArray[np.float32]:
        """Scores of the admitted subjects; the columns of the others are not looked at."""
        admitted = np.array([rule is None for rule in rules])
        model = self.site.model
        features = model.transform.apply({name: values[admitted] for name, values in call.columns.items()})
        scores = np.full(len(rules), np.nan, dtype=np.float32)
        scores[admitted] = minimised(model.predictor.scores(features), self.site.agreement.agreement.scoring)
        return scores

    def require_model(self, name: str, version: str) -> None:
        """Refuses every model version but the one served.

        Args:
            name: Name asked for.
            version: Version asked for; empty for the one served.

        Raises:
            ServingError: ``model.not-found``.
        """
        manifest = self.site.model.manifest
        if name != manifest.name or version not in ("", str(manifest.version)):
            raise ServingError("model.not-found", "a model version is asked for that is not the one served")

    def _response(
        self, request: oip.ModelInferRequest, call: Call, answers: Answers, index: int
    ) -> oip.ModelInferResponse:
        manifest = self.site.model.manifest
        version = str(manifest.version)
        response = oip.ModelInferResponse(model_name=manifest.name, model_version=version, id=request.id)
        response.parameters["model_version"].string_param = version
        response.parameters["model_digest"].string_param = self.site.model.digest
        response.parameters["agreement"].string_param = self.site.agreement.digest
        response.parameters["log_index"].int64_param = index
        write_outputs(response, call, answers)
        return response

    def _answered(self, facts: _Facts) -> Event:
        return self._event(facts, EventType.SCORE_ANSWERED, "permit", ())

    def _denied(self, facts: _Facts, error: HanseError) -> Event:
        reasons = (error.code,) if error.rule is None else (error.code, error.rule)
        return self._event(facts, EventType.SCORE_DENIED, "deny", reasons)

    def _event(
        self, facts: _Facts, kind: EventType, decision: Literal["permit", "deny"], reasons: tuple[str, ...]
    ) -> Event:
        """The entry of a call: counts, digests and names of the program's own vocabulary."""
        by_rule = Counter(rule for rule in facts.rules if rule is not None)
        counts = Counts(rows_in=facts.rows, rows_out=facts.rules.count(None), by_rule=by_rule)
        return Event(
            type=kind,
            decision=decision,
            reasons=reasons,
            agreement=self.site.agreement.digest,
            # A purpose that is not in the tree is the caller's own text, which no log entry carries.
            purpose=facts.purpose if facts.purpose in PURPOSES else None,
            peer=facts.caller,
            policy_digest=POLICY_DIGEST,
            consent=_consent_state(facts.consent),
            counts=counts if facts.rows else None,
            request=facts.request_digest,
            model_in=self.site.model.digest,
        )

    def _digest(self, body: bytes) -> str:
        """Names a request in the log. Keyed: a bare hash would confirm a guess of who was asked about."""
        return hmac.digest(self.site.pseudonym_key, _DIGEST_CONTEXT + body, hashlib.sha256).hex()


def _consent_state(snapshot: ConsentSnapshot | None) -> ConsentState | None:
    if snapshot is None:
        return None
    return ConsentState(head=snapshot.head, size=snapshot.size, root=snapshot.root)


def _purpose(request: oip.ModelInferRequest, declared: Collection[str]) -> str:
    """The purpose that the caller declares: as a parameter, in the metadata, or as both alike.

    Raises:
        PolicyError: ``policy.purpose`` (P23) if there is none, or two that differ.
    """
    purposes = set(declared)
    if PURPOSE_PARAMETER in request.parameters:
        purposes.add(request.parameters[PURPOSE_PARAMETER].string_param)
    if len(purposes) != 1:
        raise PolicyError("policy.purpose", "a call declares exactly one purpose", rule="P23")
    return purposes.pop()

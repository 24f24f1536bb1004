"""Whatever a scorer refuses: status and public message of the catalogue, one entry in the log, no canary."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.scoring.conftest import (
    CALLER,
    GRANTED,
    NOW,
    OTHER_CALLER,
    UNKNOWN,
    Keys,
    MemberSite,
    RunningScorer,
    make_agreement,
    make_grant,
    make_site,
)
from tests.scoring.test_scoring_limits import make_request

from hanse.api.inference import open_inference_grpc_pb2 as oip
from hanse.api.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from hanse.audit import EventType, verify_log
from hanse.errors import CATALOGUE

EXPIRED, MINOR, CANARY = "customer-expired", "customer-minor", "canary-7c1f"
QUOTA = 40
Request = oip.ModelInferRequest


@dataclass(frozen=True)
class Refused:
    """A call that is refused.

    Attributes:
        code: Its code.
        request: What it asks.
        rule: The rule that refuses it.
        caller: Who asks.
    """

    code: str
    request: Callable[[], Request]
    rule: str | None = None
    caller: str = CALLER


def changed(change: Callable[[Request], Any], *subjects: str) -> Callable[[], Request]:
    def make() -> Request:
        request = make_request(*(subjects or (GRANTED[0], CANARY)))
        change(request)
        return request

    return make


def about(*subjects: str) -> Callable[[], Request]:
    return lambda: make_request(*subjects)


def many() -> Request:
    request = make_request(*GRANTED)
    for tensor in request.inputs:
        tensor.shape[0] = QUOTA + 1
        for field in ("bytes_contents", "fp64_contents"):
            values = getattr(tensor.contents, field)
            if values:
                one = values[0]
                del values[:]
                values.extend([one] * (QUOTA + 1))
    return request


def set_age(*ages: float) -> Callable[[Request], None]:
    def change(request: Request) -> None:
        del request.inputs[1].contents.fp64_contents[:]
        request.inputs[1].contents.fp64_contents.extend(ages)

    return change


CASES = {
    "purpose that is not agreed": Refused(
        "policy.purpose", lambda: make_request(GRANTED[0], CANARY, purpose=CANARY), "P23"
    ),
    "purpose that is prohibited": Refused(
        "policy.denied", lambda: make_request(GRANTED[0], purpose="scoring.pricing"), "P23"
    ),
    "caller that is not agreed": Refused("policy.denied", about(GRANTED[0]), "P23", OTHER_CALLER),
    "quota": Refused("scoring.quota", many, "P27"),
    "expired grant": Refused("policy.denied", about(EXPIRED), "P26"),
    "minor": Refused("policy.denied", about(MINOR), "P26"),
    "unknown subject": Refused("policy.denied", about(UNKNOWN, CANARY), "P26"),
    "model that is not served": Refused(
        "model.not-found", changed(lambda request: setattr(request, "model_version", CANARY))
    ),
    "oversized batch": Refused(
        "scoring.bad-input", changed(lambda request: request.inputs[0].shape.__setitem__(0, 1 << 40))
    ),
    "wrong shape": Refused("scoring.bad-input", changed(lambda request: request.inputs[1].shape.extend([2]))),
    "fewer values than rows": Refused("scoring.bad-input", changed(set_age(41.0))),
    "NaN": Refused("scoring.bad-input", changed(set_age(41.0, float("nan")))),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> MemberSite:
    terms = make_agreement(Keys()).scoring.model_dump(mode="json")
    terms["callers"][0]["daily_quota"] = QUOTA
    site = make_site(tmp_path_factory.mktemp("guarded"), scoring=terms)
    with site.ledger as ledger:
        then = NOW - timedelta(days=1)
        ledger.record(
            [
                make_grant(site.ref(EXPIRED), given_at=then, expires_at=NOW - timedelta(hours=1)),
                make_grant(site.ref(MINOR), age_at_least=9),
            ]
        )
    return site


@pytest.fixture(scope="module")
def guarding(guarded: MemberSite) -> Iterator[RunningScorer]:
    with RunningScorer(guarded.settings) as scorer:
        yield scorer


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_says_so_and_nothing_else(
    guarded: MemberSite, guarding: RunningScorer, name: str
) -> None:
    case, before = CASES[name], guarded.entries()
    with (
        grpc.secure_channel(guarding.address, guarded.credentials(case.caller)) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        GRPCInferenceServiceStub(channel).ModelInfer(case.request(), timeout=20)
    call: Any = caught.value
    spec = CATALOGUE[case.code]
    assert call.code().name == spec.status.value
    said = case.code if case.rule is None else f"{case.code}, rule {case.rule}"
    assert call.details() == f"{spec.public_message} ({said})"
    trailer = {item.key: item.value for item in call.trailing_metadata()}
    assert trailer["hanse-error-code"] == case.code
    assert trailer.get("hanse-error-rule") in {None, case.rule}
    (entry,) = guarded.entries()[len(before) :]
    assert (entry.type, entry.decision, entry.peer) == (EventType.SCORE_DENIED, "deny", case.caller)
    assert entry.reasons == ((case.code,) if case.rule is None else (case.code, case.rule))
    log = b"".join(verify_log(guarded.settings.log, guarded.keys.node.verifier).leaves)
    for secret in (CANARY, UNKNOWN, MINOR, EXPIRED, *GRANTED, guarded.ref(MINOR)):
        assert secret.encode() not in log

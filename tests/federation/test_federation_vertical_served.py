"""Vertical models served by real processes: the label holder's scorer, and the feature holder's service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.vertical.serving_sites import (
    ANSWERS,
    DEADLINE_S,
    KINDS,
    PURPOSES,
    Caller,
    Kind,
    Trained,
    asked,
    eventually,
    free_address,
    hand_link,
    mark_of,
    now,
    start_part,
    train,
    values,
)
from typer.testing import CliRunner

from hanse.audit import EventType
from hanse.cli.main import app
from hanse.demo.processes import Processes
from hanse.scoring.saying import minimised

pytestmark = [pytest.mark.federation, pytest.mark.slow, pytest.mark.timeout(300)]

WAIT_S = 30.0
DAILY, AT_ONCE = 300, 100


@contextmanager
def scorer_process(processes: Processes, trained: Trained, address: str) -> Iterator[Caller]:
    """The label holder's scorer, and a calling system of it."""
    environment = {"HANSE_SERVE_PARTNERS__insurer": "insurer.link", "HANSE_SERVE_PATIENCE_S": "3"}
    environment["HANSE_SERVE_WITHDRAWAL_BOUND_S"] = "30"  # the machine may stand still
    arguments = ["serve", trained.model, "--home", str(trained.brand.home.root), "--address", address]
    processes.start("brand", arguments, environment)
    processes.wait_until_ready("brand")
    caller = Caller(trained, address)
    try:
        yield caller
    finally:
        caller.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model)
def test_a_model_is_served_under_both_members_rules_whatever_becomes_of_one(
    tmp_path: Path, kind: Kind
) -> None:
    answers = ANSWERS.model_copy(update={"daily_people": DAILY})
    trained = train(tmp_path / "sites", answers=answers, kind=kind)
    brand, insurer = trained.federation.sites
    address = free_address()
    hand_link(trained, insurer, address)
    with (
        Processes(tmp_path / "output") as processes,
        scorer_process(processes, trained, free_address()) as caller,
    ):
        start_part(processes, trained, insurer, address)
        places = list(range(AT_ONCE))
        request = asked(trained, caller, places)
        eventually(lambda: mark_of(caller, request) == "joint", WAIT_S)
        answered = caller.ask(request, DEADLINE_S)
        scored = np.array([basis == "joint" for basis in answered.basis])
        assert 10 < scored.sum() < len(places)
        expected = minimised(trained.joint(places), trained.terms)
        assert answered.scores[scored].tolist() == expected[scored].tolist()
        assert set(np.array(answered.decisions)[~scored]) == {"deny:P26"}
        one = asked(trained, caller, [int(np.flatnonzero(scored)[0])])

        processes.kill(insurer.data.name)
        eventually(lambda: mark_of(caller, request) == "own_columns", WAIT_S)
        fallen = caller.ask(request, DEADLINE_S)
        alone = trained.kept(brand).alone
        assert alone is not None
        own = {name: column[places] for name, column in values(trained, brand).items()}
        told = np.array([basis == "own_columns" for basis in fallen.basis])
        assert fallen.scores[told].tolist() == minimised(alone.scores(own, {}), trained.terms)[told].tolist()

        start_part(processes, trained, insurer, address)
        eventually(lambda: mark_of(caller, one) == "joint", WAIT_S)
        subject = trained.people(insurer)[int(np.flatnonzero(scored)[0])]
        trained.federation.withdraw(insurer, subject, PURPOSES[1], now())
        eventually(lambda: mark_of(caller, one) == "policy.denied", WAIT_S)

        refused = asked_until_refused(trained, caller)
        assert refused == "scoring.partner-quota"
        assert purpose_refused(trained, caller, places) == "policy.denied"
    check_logs(trained)


def asked_until_refused(trained: Trained, caller: Caller) -> str:
    """Asks about others until the feature holder has had enough for a day; the code of the refusal."""
    for first in range(AT_ONCE, AT_ONCE + DAILY + 1, AT_ONCE):
        mark = mark_of(caller, asked(trained, caller, list(range(first, first + AT_ONCE))))
        if mark != "joint":
            return mark
    return "joint"


def purpose_refused(trained: Trained, caller: Caller, places: list[int]) -> str:
    """Asks for a use that is prohibited."""
    request: Any = asked(trained, caller, places)
    request.parameters["purpose"].string_param = "scoring.pricing"
    with pytest.raises(grpc.RpcError):
        caller.ask(request, DEADLINE_S)
    return mark_of(caller, request)


def check_logs(trained: Trained) -> None:
    """Both logs verify, and say the same of what was asked."""
    for site in trained.federation.sites:
        words = ["audit", "verify", "--home", str(site.home.root), "--json"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stdout
    brand, insurer = trained.federation.sites
    heard = {entry.conversation for entry in trained.of_type(brand, EventType.PART_HEARD)}
    said = {entry.conversation for entry in trained.of_type(insurer, EventType.PART_ANSWERED)}
    assert heard
    assert heard <= said  # an answer that was on its way to nobody is in one of them
    missed = {entry.reasons for entry in trained.of_type(brand, EventType.PART_MISSED)}
    assert ("scoring.partner-quota",) in missed
    assert trained.of_type(insurer, EventType.PART_DENIED)

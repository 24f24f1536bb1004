"""The run report: what the rules removed, from the log of a site to the table at the end of `hanse run`."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from tests.conftest import LocalFederation, copy_of, open_federation

from hanse.audit import EventType, verify_log
from hanse.cli.run import removed_table
from hanse.client.remote import RunEvent
from hanse.client.run_report import Removed, removed
from hanse.crypto import VerifierKey
from hanse.demo.federation import Federation
from hanse.policies import Identity


@pytest.fixture(name="run", scope="module")
def _run(
    templates: Callable[..., tuple[Federation, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[LocalFederation, list[RunEvent]]:
    made, note = templates(2, 3.0, rounds=2)
    built = open_federation(copy_of(made, tmp_path_factory.mktemp("report") / "federation"), note)
    rounds, record = built.rounds(built.transport())
    rounds.conduct()
    events = [RunEvent(e.run, e.time, e.type, e.round, dict(e.facts)) for e in record._events]
    return built, events


def test_the_report_says_what_the_members_logged(run: tuple[LocalFederation, list[RunEvent]]) -> None:
    built, events = run
    found = removed(events)
    below = built.agreement.cohort.suppress_below
    assert found.members == ("brand", "insurer")
    for site in built.federation.sites:
        name = site.data.name
        verifier = VerifierKey.decode(Identity.load(site.home.identity).node_key)
        entries = verify_log(site.home.log, verifier).entries
        last = [e for e in entries if e.type is EventType.ROUND_ADMITTED and e.round == 2][-1]
        assert last.counts is not None
        told = {rule: own[name] for rule, own in found.rows.items() if name in own}
        assert told == {rule: n for rule, n in last.counts.by_rule.items() if int(n) >= below}
        hidden = {rule: own[name] for rule, own in found.values.items() if name in own}
        hiding = int((site.written.profiles == "hides-optional").sum())
        assert hidden == last.counts.hidden_by_rule == {"P05": hiding}
        assert found.columns["loan"][name] == hidden["P05"]


def test_rules_of_both_packs_are_seen_at_work(run: tuple[LocalFederation, list[RunEvent]]) -> None:
    assert set(removed(run[1]).rows) == {"P01", "P02", "P03", "P04", "P05", "P06", "P08", "P10"}


def test_the_table_says_because_of_what_and_what_is_not_told() -> None:
    found = Removed(
        members=("brand", "insurer"),
        rows={"P01": {"brand": 12}},
        values={"P05": {"brand": 30, "insurer": 40}},
        columns={"loan": {"insurer": 40}},
    )
    out = io.StringIO()
    Console(file=out, width=160).print(removed_table(found, 10))
    text = out.getvalue()
    assert "fewer than 10 are not told" in text
    assert text.count("not told") == 3
    assert "There is no legal basis" in text
    assert "column loan" in text


def test_a_run_that_told_nothing_has_an_empty_report() -> None:
    assert removed([]) == Removed((), {}, {}, {})

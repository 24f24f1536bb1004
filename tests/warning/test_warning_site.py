"""The figures of a real site: ledger, log, budget and model of a run in one process."""

import json
import shutil
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import LocalFederation, copy_of, open_federation
from typer.testing import CliRunner

from hanse.audit import RefusalKind, WitnessRefusal
from hanse.audit.store.tables import sqlite_guards
from hanse.cli.main import app
from hanse.client.home import MemberHome
from hanse.client.refusals import keep, review
from hanse.client.watch import EXPIRING, ConsentFigures, Watching, consent_figures, denials, watch_site
from hanse.client.watch_metrics import metric_name, registry_of
from hanse.crypto import read_secret, write_atomic
from hanse.demo.federation import Federation, Site
from hanse.errors import HanseError
from hanse.learning import ModelManifest, write_model
from hanse.policies import Agreement, ConsentLedger, Pseudonymiser, Terms
from hanse.policies.fields import to_ms
from hanse.policies.ledger import StandingRow
from hanse.policies.warning import Level, Watch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(name="trained", scope="module")
def _trained(
    templates: Callable[..., tuple[Federation, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> LocalFederation:
    """A site that has run an agreement and fetched its model. Nobody changes it."""
    made, note = templates(2, 3.0, rounds=2)
    built = open_federation(copy_of(made, tmp_path_factory.mktemp("watched") / "federation"), note)
    rounds, record = built.rounds(built.transport())
    outcome = rounds.conduct()
    agreement = built.agreement
    home = built.federation.sites[0].home
    manifest = ModelManifest(
        name=agreement.id,
        version=1,
        agreement_digest=built.signed.digest,
        run=record.run,
        purpose=agreement.purpose,
        label=agreement.label,
        transform=outcome.transform,
        training=agreement.training,
        metrics={},
        privacy=agreement.privacy,
        epsilon=dict(outcome.epsilon),
        members=outcome.members,
        cell_counts=outcome.cell_counts,
        created_at=datetime.now(UTC),
    )
    write_model(home.models / manifest.reference, manifest, outcome.model_file, built.key)
    home.agreements.mkdir(exist_ok=True)
    write_atomic(home.agreements / f"{built.signed.digest}.agreement", built.signed.note)
    return built


@pytest.fixture(name="site")
def _site(trained: LocalFederation, tmp_path: Path) -> Site:
    """A copy of that site, to be changed."""
    site = trained.federation.sites[0]
    return Site(site.data, MemberHome(shutil.copytree(site.home.root, tmp_path / "site")), site.written)


def readings(watching: Watching) -> dict[Watch, float | None]:
    return {w.reading.watch: w.reading.value for w in watching.warnings}


def home_of(built: LocalFederation) -> MemberHome:
    return built.federation.sites[0].home


def test_every_figure_of_a_trained_site_is_known(trained: LocalFederation) -> None:
    watching = watch_site(home_of(trained), datetime.now(UTC))
    found = readings(watching)
    assert set(found) == set(Watch)
    assert None not in found.values()
    assert 0 < (found[Watch.BUDGET] or 0) <= 1
    assert found[Watch.MODEL_WITHDRAWN] == 0
    assert found[Watch.UNACKNOWLEDGED] == 0
    assert (found[Watch.CONTACT] or 0) < 1
    assert found[Watch.WITNESS] == 0
    assert set(watching.notices["propensity"]) == {"1", "2"}


def test_a_withdrawal_after_training_is_a_retraining_task(trained: LocalFederation, site: Site) -> None:
    consenting = [str(subject) for subject in site.written.subject_ids[site.written.consenting][:8]]
    later = datetime.now(UTC) + timedelta(seconds=2)
    for subject in consenting:
        trained.federation.withdraw(site, subject, trained.agreement.purpose, later)
    watching = watch_site(site.home, later + timedelta(days=31))
    levels = {w.reading.watch: w.level for w in watching.warnings}
    assert levels[Watch.MODEL_WITHDRAWN] is Level.ALARM
    assert levels[Watch.MODEL_DUE] is Level.ALARM
    assert levels[Watch.CONTACT] is Level.ALARM
    assert levels[Watch.UNACKNOWLEDGED] is Level.OK
    shown = json.dumps([str(warning.reading) for warning in watching.warnings])
    assert not any(subject in shown for subject in consenting)


def test_a_refusal_of_the_witness_is_an_alarm_until_a_person_has_looked(site: Site) -> None:
    now = datetime.now(UTC)
    keep(site.home, "hub", WitnessRefusal(RefusalKind.FORK, "two trees", b"submitted"), now)
    watching = watch_site(site.home, now + timedelta(hours=2))
    [warning] = [w for w in watching.warnings if w.reading.watch is Watch.WITNESS]
    assert warning.level is Level.ALARM
    assert warning.reading.value == pytest.approx(2)
    review(site.home, "a person", now)
    assert readings(watch_site(site.home, now))[Watch.WITNESS] == 0
    for path in site.home.evidence.glob("*/*.json"):
        path.write_bytes(b"{")
    assert readings(watch_site(site.home, now))[Watch.WITNESS] is None


def test_a_withdrawal_that_the_log_does_not_know_waits(trained: LocalFederation, site: Site) -> None:
    ref = Pseudonymiser(read_secret(site.home.pseudonym_key)).ref(str(site.written.subject_ids[0]))
    now = datetime.now(UTC)
    with ConsentLedger(site.home.consent) as ledger:
        ledger.withdraw(ref, trained.agreement.purpose, now)
    found = readings(watch_site(site.home, now + timedelta(hours=30)))
    assert found[Watch.UNACKNOWLEDGED] == pytest.approx(30, abs=0.01)


def test_a_log_that_was_tampered_with_is_no_reading(site: Site) -> None:
    guards = sqlite_guards()
    with closing(sqlite3.connect(site.home.log)) as log, log:
        log.execute("DROP TRIGGER audit_entries_UPDATE")
        log.execute("UPDATE audit_entries SET data = replace(data, 'round.admitted', 'round.aDmitted')")
        log.execute(guards["audit_entries_UPDATE"])
    with pytest.raises(HanseError):
        watch_site(site.home, datetime.now(UTC))


def test_metrics_have_units_levels_and_no_small_counts(trained: LocalFederation) -> None:
    watching = watch_site(home_of(trained), datetime.now(UTC))
    text = generate_latest(registry_of(lambda: watching)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {metric_name(watch) for watch in Watch} <= set(families)
    assert all(name.endswith(("_seconds", "_ratio", "_level", "_limit", "_consents")) for name in families)
    assert len(families["hanse_watch_level"].samples) == len(watching.warnings)
    hidden = watching._replace(suppress_below=10**9)
    quiet = generate_latest(registry_of(lambda: hidden)).decode()
    quiet_families = {family.name: family for family in text_string_to_metric_families(quiet)}
    assert quiet_families["hanse_watch_consents"].samples == []
    assert quiet_families["hanse_watch_consents_old_notice_ratio"].samples == []
    assert len(quiet_families["hanse_watch_level"].samples) == len(watching.warnings)


def test_a_scrape_reads_the_site_anew() -> None:
    asked = []

    def read() -> Watching:
        asked.append(1)
        return Watching((), {}, 10)

    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry_of(read))
    try:
        before = len(asked)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            assert b"hanse_watch_level" in answer.read()
        assert len(asked) == before + 1
    finally:
        server.shutdown()
        thread.join()


def test_the_command_lists_and_exits_with_3_when_something_is_over(
    trained: LocalFederation, tmp_path: Path
) -> None:
    home = str(home_of(trained).root)
    arguments = ["policy", "watch", "--home", home]
    result = CliRunner().invoke(app, [*arguments, "--metrics", str(tmp_path / "h.prom")])
    assert result.exit_code == 3, result.output
    assert "figures over a limit" in result.output
    assert "hanse_watch_level" in (tmp_path / "h.prom").read_text()
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert {item["metric"] for item in document["warnings"]} == {watch.value for watch in Watch}
    assert any("not law" in item["limit"]["source"] for item in document["warnings"])


@pytest.mark.parametrize("listen", ["9400", ":9400", "127.0.0.1:x", "127.0.0.1:0"], ids=str)
def test_an_address_that_is_none_is_refused(listen: str, trained: LocalFederation) -> None:
    home = str(home_of(trained).root)
    result = CliRunner().invoke(app, ["policy", "watch", "--home", home, "--listen", listen])
    assert isinstance(result.exception, HanseError)
    assert result.exception.code == "config.invalid"


def row(state: str, **times: int | None) -> StandingRow:
    values: dict[str, Any] = {"given_ms": 0, "expires_ms": None, "barrier_ms": None, "terms_id": 1}
    return StandingRow(
        subject_ref="0" * 32,
        purpose="joint_modelling.propensity",
        state=state,
        guardian=False,
        age_at_least=None,
        **(values | times),
    )


def test_only_what_stands_now_is_counted(agreement: Agreement) -> None:
    now, day = to_ms(NOW), 86_400_000
    form = dict.fromkeys(Terms.__dataclass_fields__)
    terms = Terms(
        **{**form, "recipients": (), "purposes": (), "categories": ()},  # type: ignore[arg-type]
    )
    rows = [
        row("given", expires_ms=now + 100 * day),
        row("given", expires_ms=now + 10 * day),
        row("given", expires_ms=now),
        row("given", expires_ms=None),
        row("withdrawn", barrier_ms=now - day, terms_id=None),
        row("withdrawn", barrier_ms=now - 100 * day, terms_id=None),
        row("refused", barrier_ms=now - day, terms_id=None),
    ]
    figures = consent_figures(rows, {1: terms}, agreement, NOW)
    assert figures == ConsentFigures(
        given=2, withdrawn=1, expiring=1, outdated=2, by_notice=figures.by_notice, ended_ms=figures.ended_ms
    )
    assert figures.by_notice == {"none": 2}
    assert sorted(figures.ended_ms) == [now - 100 * day, now - day]
    assert timedelta(days=30) == EXPIRING


def test_no_decision_is_no_share_of_denials() -> None:
    assert denials([], NOW) == []

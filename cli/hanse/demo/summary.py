"""Turns what a demo run left behind into its result: logs, events and models in, figures out."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from hanse.audit import Entry, VerifiedLog
from hanse.client.gate import in_holdout
from hanse.client.progress import MAXIMUM_ERROR
from hanse.client.remote import RunEvent
from hanse.crypto import read_secret
from hanse.demo.baselines import TrainedModel, exact_auc, exact_loss
from hanse.demo.data import DemoData, Rows
from hanse.demo.federation import Site
from hanse.demo.results import (
    AgreementFacts,
    DatasetFacts,
    DemoResult,
    LogFacts,
    MemberFacts,
    ModelFacts,
    QualityFacts,
    RoundFacts,
    TimelineEntry,
)
from hanse.learning import LoadedModel, parameter_count
from hanse.learning.boosting import TreesPredictor
from hanse.learning.boosting.forest import LEAF
from hanse.policies import RULES, Agreement, Pseudonymiser

if TYPE_CHECKING:
    from hanse.demo.orchestrate import DemoRun

MAXIMUM_TIMELINE = 400


def training_rows(site: Site, agreement: Agreement) -> Rows:
    """The rows that the site trained on: whose generated consent covers it, and who are not held out."""
    key = read_secret(site.home.pseudonym_key)
    ref = Pseudonymiser(key).ref
    fraction = agreement.training.holdout_fraction
    held_out = np.array(
        [in_holdout(key, ref(str(subject)), fraction) for subject in site.written.subject_ids]
    )
    return site.data.rows.take(site.written.consenting & ~held_out)


def result_of(
    run: "DemoRun", quality: QualityFacts, models: Sequence[TrainedModel], test: Rows
) -> DemoResult:
    """The whole result.

    Args:
        run: What the demo did.
        quality: Alone, federated, pooled.
        models: Global model after each round, from 0.
        test: Test rows that no member has.
    """
    agreement = run.signed.agreement
    assert run.model is not None  # noqa: S101 - a run without a model has ended before
    events = [event for _, event in run.events]
    return DemoResult(
        version=version("hanse"),
        started_at=run.started_at,
        duration_s=time.monotonic() - run.started_s,
        dataset=_dataset(run.data),
        agreement=_agreement(agreement, run.signed.digest),
        members=tuple(
            _member(site, agreement, events, run.logs[site.data.name]) for site in run.federation.sites
        ),
        rounds=_rounds(run.events, models, test),
        quality=quality,
        model=_model(run.model),
        scoring=tuple(run.calls),
        logs=tuple(LogFacts.of(owner, log) for owner, log in run.logs.items()),
        timeline=_timeline(run.logs),
        rules={rule.id: rule.message.en for rule in RULES.values() if _appears(rule.id, run.logs)},
    )


def _dataset(data: DemoData) -> DatasetFacts:
    dictionary = data.dictionary
    return DatasetFacts(
        name=dictionary.name,
        title=dictionary.title,
        source=dictionary.source,
        licence=dictionary.licence,
        rows=len(data.rows),
        test_rows=int(data.test.sum()),
        label=dictionary.label,
        positive=dictionary.positive,
        positive_rate=float(data.rows.labels.mean()),
        natural_key=dictionary.key_title,
        left_out=dict(dictionary.left_out),
    )


def _agreement(agreement: Agreement, digest: str) -> AgreementFacts:
    training, privacy = agreement.training, agreement.privacy
    return AgreementFacts(
        id=agreement.id,
        digest=digest,
        purpose=agreement.purpose,
        model=training.model,
        columns=len(agreement.columns),
        rounds=training.rounds,
        local_steps=training.local_steps,
        sample_rate=training.sample_rate,
        epsilon=None if privacy is None else privacy.epsilon,
        delta=None if privacy is None else privacy.delta,
        minimum_rows=agreement.cohort.minimum_rows,
        minimum_members=agreement.cohort.minimum_members,
    )


def _member(site: Site, agreement: Agreement, events: Sequence[RunEvent], log: VerifiedLog) -> MemberFacts:
    """Counts from the member's own log, which knows also those that are too small to leave the site."""
    admitted = next(
        entry for entry in log.entries if entry.type.value == "round.admitted" and entry.round == 1
    )
    counts = admitted.counts
    assert counts is not None  # noqa: S101 - an admission always has counts
    spent: dict[str, float] = next(
        (e.facts["epsilon"] for e in reversed(events) if e.facts.get("epsilon")), {}
    )
    return MemberFacts(
        name=site.data.name,
        organisation=site.data.organisation,
        groups=site.data.groups,
        rows=len(site.data.rows),
        positive_rate=float(site.data.rows.labels.mean()),
        considered=int(counts.rows_in),
        admitted=int(counts.rows_out),
        excluded_by_rule={rule: int(count) for rule, count in counts.by_rule.items()},
        hidden_by_rule={rule: int(count) for rule, count in counts.hidden_by_rule.items()},
        hidden_by_column={
            agreement.columns[int(place)].name: int(count) for place, count in counts.hidden.items()
        },
        epsilon=spent.get(site.data.name) if agreement.privacy is not None else None,
    )


def _rounds(
    events: Sequence[tuple[float, RunEvent]], models: Sequence[TrainedModel], test: Rows
) -> tuple[RoundFacts, ...]:
    """One line per round; the private estimate of a round's model arrives with the event after it."""
    estimates = {
        event.facts["evaluated_round"]: (event.facts["auc"], event.facts["auc_standard_error"])
        for _, event in events
        if "evaluated_round" in event.facts
    }
    rounds = []
    previous_s = next(second for second, event in events if event.type == "run.prepared")
    for second, event in events:
        if event.type != "round.aggregated":
            continue
        model = models[event.round]
        auc, error = estimates.get(event.round, (None, None))
        # An estimate that noise has drowned would only spoil the scale of the chart.
        known = auc is not None and error is not None and error <= MAXIMUM_ERROR
        rounds.append(
            RoundFacts(
                round=event.round,
                duration_s=second - previous_s,
                auc_exact=exact_auc(model, test) or 0.0,
                auc_estimate=auc if known else None,
                auc_standard_error=error if known else None,
                loss_exact=exact_loss(model, test),
                admitted={m: rows["training"] + rows["holdout"] for m, rows in event.facts["rows"].items()},
                epsilon=event.facts["epsilon"],
            )
        )
        previous_s = second
    return tuple(rounds)


def _model(model: LoadedModel) -> ModelFacts:
    trees = model.predictor.trees if isinstance(model.predictor, TreesPredictor) else None
    transform, training = model.transform, model.manifest.training
    parameters = (
        parameter_count(training, transform.n_features, transform.groups)
        if trees is None
        else int((trees.forest.column == LEAF).sum())
    )
    return ModelFacts(
        name=model.manifest.reference,
        manifest_digest=model.digest,
        features=model.transform.n_features,
        parameters=parameters,
        trees=0 if trees is None else trees.iterations,
    )


def _timeline(logs: dict[str, VerifiedLog]) -> tuple[TimelineEntry, ...]:
    entries = [
        TimelineEntry(
            index=index,
            time=entry.at,
            actor=entry.actor.organisation,
            log=owner,
            type=entry.type.value,
            round=entry.round,
            decision=entry.decision,
            reasons=entry.reasons,
        )
        for owner, log in logs.items()
        for index, entry in enumerate(log.entries)
    ]
    return tuple(sorted(entries, key=lambda entry: entry.time)[:MAXIMUM_TIMELINE])


def _appears(rule: str, logs: dict[str, VerifiedLog]) -> bool:
    return any(_mentions(rule, entry) for log in logs.values() for entry in log.entries)


def _mentions(rule: str, entry: Entry) -> bool:
    return rule in entry.reasons or (
        entry.counts is not None and rule in {**entry.counts.by_rule, **entry.counts.hidden_by_rule}
    )

"""The steps of a run in which every member sends its own figures, which the coordinator then adds up.

So it is between two members, of whom a sum would hide neither, and with a privacy budget, where every member
adds all the noise that its own figures need.
"""

from collections.abc import Sequence

import numpy as np

from hanse.api.v1 import round_pb2 as pb
from hanse.errors import HanseError
from hanse.learning import (
    Transform,
    Update,
    any_from_bytes,
    rare_below,
    weights_from_bytes,
    weights_to_bytes,
)
from hanse.learning.robustness import combine, judge
from hanse.learning.update_shares import shares_of_round
from hanse.privacy import Length, make_certificate, make_plan, merge_events
from hanse.server.algorithms import Algorithm
from hanse.server.evaluation import Metrics, evaluate
from hanse.server.party import Party
from hanse.server.steps import Account, Prepared, Round


class IndividualSteps:
    """See the module docstring and :class:`hanse.server.steps.Steps`.

    Args:
        party: The members.
    """

    def __init__(self, party: Party) -> None:
        self._party = party

    def prepare(self) -> Prepared:
        """Lets every member check the agreement, and fits the preprocessing on their summed counts."""
        party, agreement = self._party, self._party.agreement
        replies = party.ask({"prepare": party.context.prepare}, "prepared")
        counts = [np.asarray(reply.prepared.cell_counts, dtype=np.float64) for reply in replies.values()]
        noise_stds = [reply.prepared.noise_std for reply in replies.values()]
        rare = rare_below(agreement.cohort.suppress_below, noise_stds)
        total = np.sum(counts, axis=0)
        # Sums of exact counts are kept nowhere: of two members, each could subtract its own.
        kept = tuple(total.tolist()) if agreement.privacy and min(noise_stds) > 0 else ()
        return Prepared(
            Transform.fit(agreement.columns, total, rare),
            kept,
            {member: reply.prepared.planned_epsilon for member, reply in replies.items()},
            {m: (r.prepared.training, r.prepared.holdout) for m, r in replies.items()},
        )

    def train(self, number: int, algorithm: Algorithm, state: bytes, transform: Transform) -> Round:
        """Combines the members' updates, and evaluates the weights before them."""
        del algorithm  # nothing else is done with figures of one member each
        party, agreement = self._party, self._party.agreement
        # Who was not there when the run began pays for its own figures, and its update is seen like any.
        if come := party.latecomers():
            party.take_in(come, {"prepare": party.context.prepare}, "prepared")
        weights = weights_from_bytes(state)
        step = pb.Train(round=number, state=state, transform=transform.to_json())
        replies = party.ask({"train": step}, "trained", number)
        updates = self._updates(replies, weights.size, number)
        minimum = agreement.cohort.minimum_members
        updated = combine(agreement.robustness, weights, updates, minimum, party.found_out)
        party.spent({member: reply.trained.epsilon for member, reply in replies.items()})
        return Round(
            weights_to_bytes(updated),
            # Whoever was found out has no say in how good a model is either.
            evaluate(
                [reply.trained.histogram for m, reply in replies.items() if m in party.active],
                agreement.cohort.suppress_below,
            ),
            tuple(sorted(update.member for update in updates)),
            {m: (r.trained.training, r.trained.holdout) for m, r in replies.items()},
            shares_of_round(updates) if agreement.contributions else {},
        )

    def evaluate(self, state: bytes, transform: Transform) -> Metrics:
        """Evaluates the final weights."""
        party = self._party
        step = pb.Evaluate(state=state, transform=transform.to_json())
        replies = party.ask({"evaluate": step}, "evaluated")
        party.spent({member: reply.evaluated.epsilon for member, reply in replies.items()})
        few = party.agreement.cohort.suppress_below
        return evaluate([reply.evaluated.histogram for reply in replies.values()], few)

    def account(self, state: bytes) -> Account:
        """What a run costs with the noise of a fresh budget; a member with less left adds more."""
        del state
        agreement = self._party.agreement
        if agreement.privacy is None:
            return Account()
        runs = [Length.of(training) for training in self._party.context.trainings]
        plan = make_plan(agreement.training, agreement.privacy, len(agreement.columns), None, runs)
        released = [plan.events_of(length) for length in runs]
        return Account(
            make_certificate(
                merge_events(event for training, _ in released for event in training),
                merge_events(event for _, holdout in released for event in holdout),
                plan.delta,
                members=len(agreement.members),
                honest_shares=1,
            )
        )

    def _updates(self, replies: dict[str, pb.Reply], size: int, number: int) -> Sequence[Update]:
        """The updates that may be combined; who sent what is no update, or a turned one, leaves the run."""
        party, agreement = self._party, self._party.agreement
        updates = []
        for member, reply in replies.items():
            try:
                delta = any_from_bytes(reply.trained.delta)
            except HanseError as error:
                party.lose_for(member, error, "update", number)
            else:
                updates.append(Update(member, delta, reply.trained.training.rows))
        judged = judge(
            agreement.robustness,
            updates,
            size=size,
            max_norm=agreement.training.max_update_norm,
            round_number=number,
        )
        for finding in judged.findings:
            party.found(finding)
        for member in sorted(judged.excluded):
            party.lose(member, "run.update-rejected", "update", number)
        party.found_out += len(judged.excluded)
        party.require_enough()
        return judged.accepted

"""The steps of a run in sums under a privacy budget, whose noise the members share.

The preparation fits nothing: every cell of the agreement has a feature. It settles the noise: each member
says how much it needs to stay within its budget, the largest of each is told to all, and who has reserved the
run with that answers. Then the noisy number of training records is asked for, which the step sizes rest on.
"""

import math

from typing_extensions import override

from hanse.api.v1 import round_pb2 as pb
from hanse.learning.evaluation import COARSE, Plan
from hanse.learning.evaluation.questions import SCORES
from hanse.learning.private import PrivateSgdCoordinator
from hanse.learning.shared_run import NoiseLevels, PrivateState, SharedRun
from hanse.privacy import GaussianRelease, Length, SampledGaussian, make_certificate, total_of
from hanse.server.algorithms.private_sgd import Opening
from hanse.server.checkpoints import OpenedSums
from hanse.server.party import Party
from hanse.server.phases import Readies, SecureSteps, Sessions, rows_of
from hanse.server.steps import Account, Prepared
from hanse.server.sums import SecureAggregator


class PrivateSteps(SecureSteps):
    """See the module docstring and :class:`hanse.server.steps.Steps`.

    Args:
        party: The members.
        sessions: Opens their sessions.
        opened: Sums of the step under way, for a process that comes after this one.
    """

    def __init__(self, party: Party, sessions: Sessions, opened: OpenedSums) -> None:
        super().__init__(party, sessions, opened)
        self._shared = SharedRun(party.agreement)

    @override
    def prepare(self) -> Prepared:
        """Lets every member check the agreement and reserve the run."""
        work = {"prepare": self._party.context.prepare}
        opening, ready = self._phase(work, "prepared", None, self._settle)
        planned = {member: own.planned_epsilon for member, own in ready.items()}
        return Prepared(self._shared.transform, (), planned, rows_of(ready), opening)

    @override
    def account(self, state: bytes) -> Account:
        """What the run has cost a record and a person, from the noise that was used."""
        agreement, known = self._party.agreement, PrivateState.from_bytes(state, self._shared)
        if agreement.privacy is None:
            raise AssertionError("runs of this sort have a budget")
        levels, rate = known.levels, self._shared.schedule.sample_rate
        # Of a sweep, all trials have been released, whichever is kept.
        runs, steps, histograms = total_of([Length.of(each) for each in self._party.context.trainings])
        certificate = make_certificate(
            [
                GaussianRelease(levels.rows, runs, shared=True),
                SampledGaussian(levels.gradients, rate, steps, shared=True),
            ],
            [GaussianRelease(levels.histograms, histograms, shared=True)],
            agreement.privacy.delta,
            members=len(agreement.members),
            honest_shares=self._shared.honest_shares,
        )
        return Account(certificate, known.rows)

    def _settle(self, members: SecureAggregator, ready: Readies) -> Opening:
        levels = NoiseLevels.loudest(_needed(own) for own in ready.values())
        members.aggregate(levels.query(len(self._party.agreement.members)))
        run = self._shared.private(levels)
        return Opening(levels, PrivateSgdCoordinator(members, run, self._shared.zeros()).rows)

    @override
    def _plan(self, state: bytes, *, last: bool) -> Plan:
        """No groups: the run has reserved noise for the scores of all records, and for nothing else."""
        del last
        agreement = self._party.agreement
        levels = PrivateState.from_bytes(state, self._shared).levels
        noise = self._shared.score_noises(levels)[SCORES]
        return Plan(
            labels=(agreement.label.name,),
            amounts={},
            minimum_rows=agreement.cohort.suppress_below,
            groups={},
            grid=COARSE,
            noise_std=math.sqrt(len(self._party.active)) * noise.share_std(),
        )


def _needed(ready: pb.Ready) -> NoiseLevels:
    return NoiseLevels(ready.noise.gradients, ready.noise.rows, ready.noise.histograms)

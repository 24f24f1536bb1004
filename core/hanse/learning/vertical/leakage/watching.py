"""Leakage reports of runs: the label holder watches what it sends, and attacks it afterwards."""

import numpy as np

from hanse.exchange import PeerChannel
from hanse.learning.vertical.leakage.attacks import Labels, chance_area
from hanse.learning.vertical.leakage.cuts import AskedCuts
from hanse.learning.vertical.leakage.recorder import Recorder, Tables
from hanse.learning.vertical.leakage.report import LeakageReport
from hanse.learning.vertical.leakage.surfaces import KNOWN, attack_labels


class WatchedTrees:
    """A feature holder's view of a run, while it is made.

    Args:
        channel: To the feature holder.
        rows: How many people there are.
        before: What was noted in earlier attempts, from :meth:`Recorder.tables`; None for nothing. Sides of
            the cuts that the run goes on with are sent again in each attempt.

    Attributes:
        channel: What the label holder runs its protocol over in the place of the given one.
    """

    def __init__(self, channel: PeerChannel, rows: int, before: Tables | None = None) -> None:
        self._cuts = AskedCuts(channel, rows)
        self.channel = Recorder(self._cuts, rows, before)

    def report(self, labels: Labels, rng: np.random.Generator) -> LeakageReport:
        """Attacks what the feature holder has seen.

        What the attack on cuts would reach on the feature holder's own columns alone is not in it: who has
        these has no labels, and who has labels does not have these.

        Args:
            labels: The true ones, shape (rows,).
            rng: Chooses known people.
        """
        cuts = self._cuts.surface()
        return LeakageReport(
            party=self.channel.peer,
            mode="boosted trees",
            rows=len(labels),
            findings=attack_labels(self.channel.surfaces(), labels, rng),
            disclosed=() if cuts is None else attack_labels([cuts], labels, rng),
            known=KNOWN,
            chance=chance_area(labels, KNOWN),
        )


def sent_report(
    recorder: Recorder,
    mode: str,
    labels: Labels,
    rng: np.random.Generator,
    label_epsilon: float | None = None,
) -> LeakageReport:
    """Attacks all that a feature holder was sent.

    Args:
        recorder: What the label holder ran its protocol over.
        mode: How the model was trained, in words.
        labels: The true ones of the people whom the messages were about, shape (rows,).
        rng: Chooses known people.
        label_epsilon: Of randomised response on labels; None where labels are not what is noised.
    """
    return LeakageReport(
        party=recorder.peer,
        mode=mode,
        rows=len(labels),
        findings=attack_labels(recorder.surfaces(), labels, rng),
        label_epsilon=label_epsilon,
        known=KNOWN,
        chance=chance_area(labels, KNOWN),
    )

"""What the coordinator deals in the training of a vertical run."""

import os
from collections.abc import Mapping

from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.runs.terms import trees_terms
from hanse.learning.vertical.trees.dealer import Dealer
from hanse.policies import Agreement
from hanse.server.vertical.phase import Deal


def make_dealer(agreement: Agreement, people: int, root: bytes) -> Deal:
    """The coordinator's part of a run's training.

    Args:
        agreement: Of the run.
        people: Common people.
        root: What all members log of them.
    """
    dealer = Dealer(trees_terms(agreement, people, root))

    def deal(channels: Mapping[str, PeerChannel]) -> None:
        dealer.deal(channels, os.urandom)

    return deal

"""What the coordinator deals in the training of a vertical run."""

import os
from collections.abc import Mapping

from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.runs.terms import trees_terms
from hanse.learning.vertical.trees.dealer import Dealer
from hanse.policies import Agreement
from hanse.server.vertical.phase import Deal


def make_dealer(agreement: Agreement, people: int, root: bytes) -> Deal | None:
    """The coordinator's part of a run's training.

    Args:
        agreement: Of the run.
        people: Common people.
        root: What all members log of them.

    Returns:
        None where the agreement has no dealer.
    """
    terms = trees_terms(agreement, people, root)
    if terms.key_bits is not None:
        return None
    dealer = Dealer(terms)

    def deal(channels: Mapping[str, PeerChannel]) -> None:
        dealer.deal(channels, os.urandom)

    return deal

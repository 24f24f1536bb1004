"""What the coordinator deals in the training of a vertical run."""

import os
from collections.abc import Mapping

from hanse.errors import TrainingError
from hanse.exchange.peers import PeerChannel
from hanse.learning.vertical.runs.terms import card_settings, trees_terms
from hanse.learning.vertical.scorecard.dealer import deal
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
    if agreement.training.model == "scorecard":
        return _card_dealer(agreement, people)
    if agreement.vertical is not None and agreement.vertical.trust.mode == "direct":
        return None
    terms = trees_terms(agreement, people, root)
    if terms.key_bits is not None:
        return None
    dealer = Dealer(terms)

    def deal_trees(channels: Mapping[str, PeerChannel]) -> None:
        dealer.deal(channels, os.urandom)

    return deal_trees


def _card_dealer(agreement: Agreement, people: int) -> Deal:
    settings, vertical = card_settings(agreement, people), agreement.vertical
    if vertical is None:
        raise TrainingError("run.unsupported", "the agreement is not vertical")
    [feature_holder] = vertical.feature_holders

    def deal_card(channels: Mapping[str, PeerChannel]) -> None:
        deal(channels[vertical.label_holder], channels[feature_holder], settings)

    return deal_card

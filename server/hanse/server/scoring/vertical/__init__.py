"""Vertical models served: the label holder adds up leaves, feature holders say on which side people are.

* :mod:`hanse.server.scoring.vertical.partner`: one feature holder, asked over mutual TLS.
* :mod:`hanse.server.scoring.vertical.model`: the model version that a scorer serves.
* :mod:`hanse.server.scoring.vertical.opening`: reads it from disk.
* :mod:`hanse.server.scoring.vertical.hub`: all connections of a scorer.
* :mod:`hanse.server.scoring.vertical.changes`: who has withdrawn.
"""

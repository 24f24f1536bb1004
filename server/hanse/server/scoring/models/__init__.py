"""The versions of a model that a scorer has ready, and how they change while it serves.

* :mod:`hanse.server.scoring.models.table`: which of them answers a call.
* :mod:`hanse.server.scoring.models.shelf`: loads and checks them.
* :mod:`hanse.server.scoring.models.following`: takes up new decisions and deadlines, without a restart.
* :mod:`hanse.server.scoring.models.repository`: what the Open Inference repository extension asks.
"""

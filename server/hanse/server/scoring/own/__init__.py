"""The service ``hanse.api.v1.Scoring``: what the Open Inference Protocol lacks.

* :mod:`~hanse.server.scoring.own.service`: its methods, and how gRPC reaches them.
* :mod:`~hanse.server.scoring.own.messages`: what its messages may say, and what answers become.
* :mod:`~hanse.server.scoring.own.streaming`: many subjects as a stream of chunks.
* :mod:`~hanse.server.scoring.own.cards`: what a model version is, for people.
* :mod:`~hanse.server.scoring.own.explaining`: reasons beside scores.
"""

"""Scores of all rows of a file, from a running scorer: ``hanse score``.

* :mod:`~hanse.client.scoring.tables`: reads the file, and writes the one with the scores.
* :mod:`~hanse.client.scoring.state`: what has been answered so far, kept beside the output.
* :mod:`~hanse.client.scoring.calls`: the scorer, by subject (a stream) or with the file's columns.
* :mod:`~hanse.client.scoring.job`: all of it, from the first row to the last.
"""

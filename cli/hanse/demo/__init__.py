"""The one-command demo: real data, generated consent, one federated run, and a report on what it found.

* :mod:`hanse.demo.data`, :mod:`hanse.demo.dictionaries`: the data sets and what is public about them.
* :mod:`hanse.demo.partition`, :mod:`hanse.demo.members`: who gets which rows, and the files of each member.
* :mod:`hanse.demo.baselines`: the members alone, all rows pooled, and the federated run without noise.
* :mod:`hanse.demo.results`, :mod:`hanse.demo.tables`, :mod:`hanse.demo.report`: what came out.

Nothing is re-exported here: the commands' help must come without loading torch and matplotlib.
"""

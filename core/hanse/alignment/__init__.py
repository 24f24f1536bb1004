"""Finding the subjects that members have in common, without telling anybody about the others.

Empty in this version: horizontal collaborations join members with different subjects, so there is
nothing to align. The package fixes the place and the layer of private set intersection: beside
:mod:`hanse.learning`, above the policy layer, below client and server, and without either of them.
"""

"""Vertical trees without a dealer: sums over encrypted gradients.

* :mod:`hanse.learning.vertical.trees.homomorphic.scheme`: the cryptosystem, the only module that knows its
  library.
* :mod:`hanse.learning.vertical.trees.homomorphic.lanes`: several whole numbers in one.
* :mod:`hanse.learning.vertical.trees.homomorphic.label_holder`,
  :mod:`hanse.learning.vertical.trees.homomorphic.feature_holder`: the two sides.
"""

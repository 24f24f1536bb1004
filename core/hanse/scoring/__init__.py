"""What a score says, in which form, and why. Pure: arrays in, arrays out.

* :mod:`hanse.scoring.reasons`: which columns made a score what it is.
"""

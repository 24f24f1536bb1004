"""What a piece of an audit log adds up to, found in this process or in others beside it.

Imports the standard library alone, so that a process has begun in a few hundredths of a second.

* :mod:`hanse.pieces.ends`: how the bytes of an entry begin and end.
* :mod:`hanse.pieces.summary`: hashes, numbers and times of the entries of a piece.
* :mod:`hanse.pieces.helpers`: processes that sum up pieces; :mod:`hanse.pieces.process` is one of them.
"""

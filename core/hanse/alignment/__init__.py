"""Finding the people that members have in common, without telling anybody about the others.

Private set intersection on the curve of X25519, in a star around the label holder, over
:class:`hanse.exchange.PeerChannel`; what each party learns is on the page docs/explanation-alignment.md.

* :mod:`hanse.alignment.terms`: what the members agreed on, as the protocol needs it.
* :mod:`hanse.alignment.identifiers`: a member's identifiers, normalised, hashed and committed to.
* :mod:`hanse.alignment.curve`: hashing to the curve, and multiplication there.
* :mod:`hanse.alignment.worker` and :mod:`hanse.alignment.pool`: the same in processes of their own.
* :mod:`hanse.alignment.table`: a table of values that does not show its keys.
* :mod:`hanse.alignment.messages`: what is said, and how it is read.
* :mod:`hanse.alignment.label_holder` and :mod:`hanse.alignment.feature_holder`: one pass of each side.
* :mod:`hanse.alignment.taking_part`: the whole protocol of one member.
* :mod:`hanse.alignment.history`: which sets a member has aligned before, so that differences stay hidden.

Nothing is imported here: the worker processes start in a fraction of the time.
"""

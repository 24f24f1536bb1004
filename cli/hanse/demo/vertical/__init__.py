"""The vertical demo: members that know different things about the same people."""

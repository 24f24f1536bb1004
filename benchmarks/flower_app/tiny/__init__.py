"""The work of a round that every arm of the round-overhead benchmark does."""

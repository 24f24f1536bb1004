"""Models of parties that have different columns of the same people."""

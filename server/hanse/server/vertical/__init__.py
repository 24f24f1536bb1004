"""The coordinator's side of vertical runs."""

"""A member's side of vertical runs."""

"""The member's node. Import what you need from the submodules; this package imports nothing."""

"""The coordinator and the scorer. Import what you need from the submodules; this package imports nothing."""

"""The ``hanse`` command: a thin Typer application over public functions."""

"""What a vertical run is to the parties: terms from the agreement, kept parts, figures, manifest."""

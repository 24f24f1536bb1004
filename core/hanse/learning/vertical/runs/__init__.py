"""What a vertical run is to the parties: its terms from the agreement, parts that are kept, figures, manifest."""

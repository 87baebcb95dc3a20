"""The market cycle."""

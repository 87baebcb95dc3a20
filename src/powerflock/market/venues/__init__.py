"""The markets that a plant can meet."""

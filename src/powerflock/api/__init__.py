"""REST, the 1 Hz stream and the console's page over a view of the plant."""

"""Ways to reach real devices; each driver is a module here."""

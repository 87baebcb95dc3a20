"""What a site should do with its battery, exactly: plans, policies, value functions and offer curves.

Pure: arrays in, arrays out. Must not know telemetry, markets' rules or any I/O.
"""

"""One shard of the fleet: the last reading of each device as columns, and what each site does now.

Pure. Must not know the log, files, sockets or clocks, nor plans and groups.
"""

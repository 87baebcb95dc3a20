"""The network's tree over the sites: sums, coverage and what the groups can still give or take.

Pure. Must not know the log, files, sockets or clocks, nor markets.
"""

"""The words everybody shares: units, time, sites, tariffs, the column schema, commands, outcomes and errors.

Pure data and arithmetic. Must not know any other package of ours, nor read a clock, file or socket.
"""

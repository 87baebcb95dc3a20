"""What is likely to come: load, solar and price over the next hours, from what was available at the time and no later.

Pure: columns and a time in, columns out. Must not know batteries, markets' rules or any I/O.
"""

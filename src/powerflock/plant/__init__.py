"""Where the ring turns: telemetry → twins → groups → forecast → optimise → market → dispatch → commands, once a tick.

Pure: batches and a time in, commands and events out; the same code runs live and in virtual time. Knows the pure
packages and nothing that does I/O. Start with `ring.Ring.turn`.
"""

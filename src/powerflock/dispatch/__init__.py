"""From an award to setpoints: the target that remains, the clearing prices, arbitration and commands.

Pure. Nobody commands a device here; parties propose and one function resolves. Must not know sockets or devices.
"""

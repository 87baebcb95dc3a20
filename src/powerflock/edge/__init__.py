"""What runs at the home: limits set at commissioning, refusal of bad commands, and the control law.

Must not know the platform beyond the protocol.
"""

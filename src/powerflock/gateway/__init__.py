"""The front door for devices: sessions, acknowledgements and credits over WebSocket.

Must not know the registry, the twins or the market: what it needs of them is passed in.
"""

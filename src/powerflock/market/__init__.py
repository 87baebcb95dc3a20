"""Markets: programmes, bids in price bands, awards and settlement. Here power is generation-positive and in MW.

Pure. The only place where the passive sign is flipped is `signs`. Must not know sites or devices.
"""

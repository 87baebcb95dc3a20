"""What is kept on disk beside the log: snapshots of the shards.

Must not know what is inside a snapshot, nor who takes it.
"""

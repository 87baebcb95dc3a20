"""What is kept on disk beside the log: snapshots of the shards, and the history of readings and groups.

`blobs` and `storage` say where files go. `historian` follows the log and writes; `query` and `export` read; `upkeep`
keeps files few and old days away. Must not know what is inside a snapshot, who takes it, or how the history is shown.
"""

"""The durable cycle around the ring: what the log has goes in, what the ring decides goes to the log, all or nothing."""

"""Batches of windows for other processes: a pool that hands them out, parcels to send, and workers by Ray."""

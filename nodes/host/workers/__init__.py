"""Windows on other machines: the host in a worker's process, and what is sent to it."""

"""One run of one canvas: the host's calls, cut to windows."""

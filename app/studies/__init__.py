"""Studies: parameters searched by trials, which are jobs of ours or run at a client."""

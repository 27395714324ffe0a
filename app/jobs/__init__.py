"""Background work: submitted, queued, run, watched."""

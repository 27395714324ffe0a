"""Where an attempt runs: a child process of this machine; other places are other files with the same function."""

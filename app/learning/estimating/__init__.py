"""What a training will take, told before it runs: time from a few real steps, memory, disk, and what would fit."""

"""Networks declared as JSON: their grammar, its arithmetic, and the spec that comes of it; imports no torch."""

"""How predictions are asked for and answered: one file per wire dialect."""

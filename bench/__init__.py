"""Measurements. A speed is a ratio within one run: the machine's drift is in both of its sides."""

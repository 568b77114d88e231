"""The whole embedded stack: what `berth up` and `berth demo` start, watch and stop."""

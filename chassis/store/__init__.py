"""Whether an object store does what Berth needs."""

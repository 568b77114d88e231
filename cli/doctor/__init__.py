"""What `berth doctor` looks at, one finding a line."""

"""The embedded stack: what runs Berth on a machine that has nothing installed."""

"""`berth demo`: one session's life, shown and checked by witnesses outside of it."""

"""The relay: the only way out of a session. Its own process, which survives the manager's restart.

Who is calling is *which socket it came in on*: the manager binds a worker to a directory by
pushing its policy to the admin socket; the relay binds `relay.sock` in there and adds that worker's
token to what it lets through. Policies are in memory only; after a restart the manager pushes all
of them again.
"""

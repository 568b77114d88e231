"""The relay: the only way out of a session. Its own process, which survives the manager's restart.

Who is calling is *which socket it came in on*: the manager binds a worker to directories by pushing
its policy to the admin socket; the relay binds `relay.sock` in the executor's and adds that
worker's token to what it lets through, and `agent.sock` in the agent's, where it adds the
credentials of named upstreams. Policies are in memory only; after a restart the manager pushes all
of them again.
"""

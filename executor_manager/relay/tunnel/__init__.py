"""`CONNECT host:port` on an agent's socket: opaque bytes to hosts that the policy names.

One reading of the request (`asked`) decides and is what is resolved, once (`resolving`); every
address of the answer must be a public one (`addresses`), and one of these very addresses is dialled
(`dialling`). The first bytes must be a TLS client hello for the same name (`hello`) before any byte
goes on. What follows is not read: only counted (`allowance`) and piped (`pipe`).
"""

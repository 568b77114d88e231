"""The helper `volumes`: makes sized images of sessions' disks and puts them on loop devices.

A process of its own, for a loop device needs device nodes that nobody else of ours has. It mounts
nothing: the engine does, when it starts a container
(docs/adr/0020-disks-are-volumes-of-the-engine.md).
All that can be asked of it is in `contracts.disks`.
"""

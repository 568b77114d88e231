"""What people do with the workspace's files: each call blocks, and runs in one of its agent's
threads (`executor.services.files`). Every path is walked beneath the workspace's own handle, and no
link is ever followed.
"""

"""What a snapshot is made of: its manifest, its packs, and how two of them differ.

Written by the executor, read by it and by the control plane; knows no service, no disk, no store.
"""

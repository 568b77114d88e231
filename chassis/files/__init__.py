"""What services share that show files to people: names, pages, ranges, archives, safe previews.

Light: executors load it.
"""

"""Package indexes as upstreams: a session installs from them, and can do nothing else there.

GET and HEAD of an index's pages, and of the files that its links may lead to (`paths`). Links are
made to lead back here (`links`), so pages are read whole, within bounds (`pages`); files are
streamed. Redirects are followed to declared origins alone, and never told (`indexes`).
"""

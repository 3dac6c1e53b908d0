"""What can be tried in a browser? The page /ui, a client of the HTTP API.

It does not call the service's Python: the browser sends every request, with the key that was typed in.
"""

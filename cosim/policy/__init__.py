"""Round policies: when the server stops waiting, whose updates it merges and how, and what becomes of the others' work.

Pure functions of what has happened so far. ``synchronous``: a round ends for everybody; ``asynchronous``: who has not
arrived goes on. ``state``: what they see and say. ``stop``: when a run ends.
"""

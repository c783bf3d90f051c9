"""Care gaps counted from the pseudonymised lake: who has one on each of many as-of dates, and how many of them where.

`evaluate` in `evaluation` reads the lake; `counts` and `explain` work on what it returns.
"""

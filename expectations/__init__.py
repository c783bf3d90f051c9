"""Whether the data is so: profiles of what crossed the boundary, the checks on them, and the library that judges."""

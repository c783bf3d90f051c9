"""What the notebooks show, as functions: a notebook itself only asks and lays out."""

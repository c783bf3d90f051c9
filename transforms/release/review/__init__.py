"""What a steward looks at before deciding on a candidate: a page in each language, and the same for a terminal."""

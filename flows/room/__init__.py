"""The release room: what stewards see of candidates, and what they decide."""

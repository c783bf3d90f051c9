"""A synthetic city: persons, their lives and their care, drawn from a seed, with gaps and faults that are known."""

from transforms.sources.synthetic.feed import write_feed
from transforms.sources.synthetic.source import SyntheticSource

__all__ = ["SyntheticSource", "write_feed"]

"""Rates, their intervals and their comparison, over counts.

Every figure that is published comes from here, and is computed from published counts. The methods are those that
public health observatories have agreed on (APHO Technical Briefing 3, "Commonly used public health statistics and their
confidence intervals"; Public Health England's guidance of 2018). Intervals tell of chance alone: neither of what was
never recorded nor of how a figure came to be.
"""

from transforms.statistics.proportions import (
    ABOVE,
    ALIKE,
    BELOW,
    Z_95,
    Z_998,
    against,
    beyond_funnel,
    change_interval,
    funnel_limits,
    wilson_interval,
)
from transforms.statistics.rates import LEAST_EVENTS, indirect_ratios, poisson_interval, standardised_rates
from transforms.statistics.standard import band_weights

__all__ = [
    "ABOVE", "ALIKE", "BELOW", "LEAST_EVENTS", "Z_95", "Z_998", "against", "band_weights", "beyond_funnel",
    "change_interval", "funnel_limits", "indirect_ratios", "poisson_interval", "standardised_rates", "wilson_interval",
]  # fmt: skip

"""The services that definitions may name."""

SERVICES = (
    "child_clinic", "dental_care", "diabetes_clinic", "emergency_services", "health_centre", "home_care", "hospital",
    "memory_clinic", "mental_health", "private_child_clinic", "school_health", "social_services", "substance_services",
)  # fmt: skip
"""A source may have others, which no definition asks for; one that a definition shall ask for is added here."""

"""From counts to a publication: disclosure control, its independent auditor, and what is published."""

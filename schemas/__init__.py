"""What the data is: tables, geographies, code lists, indicators, labels, policy. Imports nothing of ours."""

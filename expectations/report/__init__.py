"""The pages on which stewards see the quality of the data, made from results, counts and rules; no row comes here."""

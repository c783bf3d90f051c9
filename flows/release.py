"""The release zone's flow: protect the counts, attack the result, build a candidate; publish what was approved."""

"""The pages that management reads: a small static site in three languages, from the protected table alone.

Every page is one file without scripts that asks for nothing but the site's own style sheet. What it shows of a cell is
its published count or the symbol of a hidden one; the reason for hiding is not known here.
"""

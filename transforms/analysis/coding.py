"""Conditions on codes as a scan can use them to skip what the order of a table rules out."""

from collections.abc import Sequence

import polars as pl

from schemas.codelists import TREE_SYSTEMS, CodeList


def coded(codelists: Sequence[CodeList], systems: tuple[str, ...]) -> pl.Expr:
    """Rows whose code is in one of the lists. Ranges instead of prefixes let a scan skip what the order rules out."""
    code, found = pl.col("code"), []
    for system in systems:
        codes = sorted({code for codelist in codelists for code in codelist.codes.get(system, ())})
        if not codes:
            continue
        if system in TREE_SYSTEMS:
            within = [(code >= start) & (code < end) for start, end in _ranges(codes)]
            found.append((pl.col("code_system") == system) & pl.any_horizontal(within))
        else:
            found.append((pl.col("code_system") == system) & code.is_in(codes))
    return pl.any_horizontal(found) if found else pl.lit(value=False)


def among(codelists: Sequence[CodeList], system: str) -> pl.Expr:
    """Rows whose code lies between the first and the last of a system's in the lists, whatever its own system.

    Few comparisons, and of one column, where no order helps a scan.
    """
    codes = [code for codelist in codelists for code in codelist.codes.get(system, ())]
    after_last = max(code[:-1] + chr(ord(code[-1]) + 1) for code in codes)
    return (pl.col("code") >= min(codes)) & (pl.col("code") < after_last)


def _ranges(codes: list[str]) -> list[tuple[str, str]]:
    """Codes in their order and all below them as ranges, from and before; neighbours such as I20 to I25 as one."""
    ranges: list[tuple[str, str]] = []
    for start in codes:
        end = start[:-1] + chr(ord(start[-1]) + 1)
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        else:
            ranges.append((start, end))
    return ranges

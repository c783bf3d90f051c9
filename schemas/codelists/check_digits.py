"""Check digits of codes: a digit that was mistyped, or two that changed places, show."""

from collections.abc import Callable, Mapping

_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def is_loinc(code: str) -> bool:
    """Whether the last digit is the mod 10 check digit of the others; LOINC Users' Guide, 12 C.

    The guide lists 14 codes whose digit is wrong; all of them are deprecated.
    """
    digits = [int(digit) for digit in reversed(code.replace("-", ""))]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def is_snomed(code: str) -> bool:
    """Whether the last digit is the Verhoeff check digit of the others; SNOMED CT Release File Specification, 6.4."""
    check = 0
    for place, char in enumerate(reversed(code)):
        digit = int(char)
        for _ in range(place % 8):
            digit = _TURN[digit]
        check = _product(check, digit)
    return check == 0


def _product(one: int, other: int) -> int:
    """One after the other in the group of the turns (0 to 4) and reflections (5 to 9) of a pentagon."""
    turned = one % 5 + (other % 5 if one < 5 else -(other % 5))
    return turned % 5 + 5 * ((one < 5) != (other < 5))


CHECKS: Mapping[str, Callable[[str], bool]] = {"loinc": is_loinc, "snomed": is_snomed}
"""By code system, whether a code that is written as one of it has the check digit that it should have."""

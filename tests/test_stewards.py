"""Who may sign: read from the policy, and how many signatures are still missing."""

import base64
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import PolicyRefused
from schemas.stewards import Steward, missing, read_stewards

KEY = base64.b64encode(bytes(range(32))).decode()
WHOLE = {"name": "Data Steward", "roles": ["data_steward"], "key": KEY}


def test_a_steward_is_read() -> None:
    (found,) = read_stewards({"steward": [{**WHOLE, "accounts": ["login"], "revoked": date(2027, 1, 31)}]})
    assert found == Steward("Data Steward", ("data_steward",), bytes(range(32)), ("login",), date(2027, 1, 31))
    assert found.may_sign(date(2027, 1, 30))
    assert not found.may_sign(date(2027, 1, 31))
    assert read_stewards({}) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"roles": []},
        {"roles": "data_steward"},
        {"key": "short"},
        {"key": base64.b64encode(b"short").decode()},
        {"key": None},
        {"accounts": "login"},
        {"revoked": "2027-01-31"},
        {"email": "somebody"},
    ],
    ids=str,
)
def test_a_steward_who_is_not_whole_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused, match="steward"):
        read_stewards({"steward": [{**WHOLE, **wrong}]})


@pytest.mark.parametrize("same", ["name", "key"])
def test_two_stewards_are_two(same: str) -> None:
    other = {"name": "Other", "roles": ["data_steward"], "key": base64.b64encode(bytes(32)).decode()}
    with pytest.raises(PolicyRefused, match=same):
        read_stewards({"steward": [WHOLE, {**other, same: WHOLE[same]}]})


ROLES = ("data_steward", "statistician", "lawyer")
SIGNERS = st.lists(st.sets(st.sampled_from(ROLES), min_size=1), max_size=4)
REQUIRED = st.dictionaries(st.sampled_from(ROLES), st.integers(1, 2))


@given(SIGNERS, REQUIRED)
def test_signatures_are_enough_where_each_place_finds_a_person_of_its_own(
    signers: list[set[str]], required: dict[str, int]
) -> None:
    """Against Hall's theorem: every choice of places needs as many persons who could take one of them."""
    signed = [Steward(str(number), tuple(sorted(roles)), bytes(32)) for number, roles in enumerate(signers)]
    places = [role for role, count in required.items() for _ in range(count)]
    filled = all(
        sum(bool(roles & {places[at] for at in range(len(places)) if choice >> at & 1}) for roles in signers)
        >= choice.bit_count()
        for choice in range(1 << len(places))
    )
    assert (not missing(required, signed)) == filled

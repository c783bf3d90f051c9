import hmac

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import KeyUnavailable
from transforms.controller.keys import Keyring, derive
from transforms.controller.pseudonymise import (
    PseudonymKey,
    from_series,
    permute,
    pseudonym_key,
    pseudonymise,
    rekey,
    room,
    to_series,
)

ROOT, LASTING = bytes(range(32)), bytes(range(1, 33))
KEYRING = Keyring("e1", {"e1": ROOT, "e2": ROOT}, LASTING)
KEY = pseudonym_key(KEYRING, "hetu", "district-stats")
short_identifiers = st.text(st.characters(codec="ascii"), max_size=12)
identifiers = st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=30)


@pytest.mark.parametrize(
    ("domain", "epoch", "identifier", "pseudonym"),
    [
        ("district-stats", "e1", "010594Y9032", "b80859c5e5e2867b252e553cb242196e"),
        ("district-stats", "e1", "020504B904H", "8fd31f33991eab7823e59f2213af1601"),
        ("district-stats", "e2", "010594Y9032", "64ec9d38c7ce85647957f3d790db50e6"),
        ("district-stats", "e2", "020504B904H", "badbdcd28f18e5c38253c1f71007a6e1"),
        ("research-A", "e1", "010594Y9032", "8b12fa851d2d64c5407e1ff3767cfa7f"),
        ("research-A", "e1", "020504B904H", "cce2e762b96e2df47668d08e0b944c07"),
    ],
)
def test_known_answers(domain: str, epoch: str, identifier: str, pseudonym: str) -> None:
    key = pseudonym_key(KEYRING, "hetu", domain, epoch)
    assert pseudonymise(pl.Series([identifier]), key).tobytes().hex() == pseudonym


@pytest.mark.parametrize(
    ("key", "block", "answer"),
    [
        (  # NIST SP 800-38A, F.1.5
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "6bc1bee22e409f96e93d7e117393172a",
            "f3eed1bdb5d2a03c064b5a7e3db181f8",
        ),
        (  # FIPS 197, C.3
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "00112233445566778899aabbccddeeff",
            "8ea2b7ca516745bfeafc49904b496089",
        ),
    ],
)
def test_the_permutation_is_aes_256(key: str, block: str, answer: str) -> None:
    row = np.frombuffer(bytes.fromhex(block), dtype=np.uint8).reshape(1, 16)
    assert permute(row, bytes.fromhex(key)).tobytes().hex() == answer
    back = np.frombuffer(bytes.fromhex(answer), dtype=np.uint8).reshape(1, 16)
    assert permute(back, bytes.fromhex(key), inverse=True).tobytes().hex() == block


def test_hmac_gives_the_published_answer() -> None:
    """RFC 4231, test case 1."""
    assert hmac.digest(b"\x0b" * 20, b"Hi There", "sha256").hex() == (
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    )


def plain_pseudonym(identifier: str, key: PseudonymKey) -> bytes:
    """One identifier at a time, as the construction is written."""
    data = identifier.encode()
    if len(data) > 12:
        assert key.digest is not None
        block = hmac.digest(key.digest, data, "sha256")[:16]
    else:
        block = len(data).to_bytes(4, "little") + data.ljust(12, b"\0")
    return Cipher(algorithms.AES(key.permutation), modes.ECB()).encryptor().update(block)


@given(identifiers)
def test_every_row_is_what_the_plain_construction_gives(values: list[str | None]) -> None:
    found = pseudonymise(pl.Series(values, dtype=pl.String), KEY)
    assert found.shape == (len(values), 16)
    for value, row in zip(values, found, strict=True):
        assert row.tobytes() == (bytes(16) if value is None else plain_pseudonym(value, KEY))


@given(st.lists(st.text(max_size=40), unique=True, max_size=50))
def test_distinct_identifiers_have_distinct_pseudonyms(values: list[str]) -> None:
    found = pseudonymise(pl.Series(values, dtype=pl.String), KEY)
    assert len({row.tobytes() for row in found}) == len(values)


NAMES = st.sampled_from(["a", "b", "hetu", "opaque", "record:diagnosis", "record:contact"])
EPOCHS = st.sampled_from(["e1", "e2"])


@given(identifiers, st.tuples(NAMES, NAMES, EPOCHS), st.tuples(NAMES, NAMES, EPOCHS))
def test_a_pseudonym_is_the_same_in_its_type_domain_and_epoch_and_in_no_other(
    values: list[str | None], one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    series = pl.Series(values, dtype=pl.String)
    found, again = (pseudonymise(series, pseudonym_key(KEYRING, *terms)) for terms in (one, other))
    if one == other:
        assert (found == again).all()
    else:
        present = series.is_not_null().to_numpy()
        assert not {row.tobytes() for row in found[present]} & {row.tobytes() for row in again[present]}


@given(identifiers, NAMES, NAMES)
def test_rekeyed_pseudonyms_are_those_of_the_new_epoch(values: list[str | None], identifier: str, domain: str) -> None:
    series = pl.Series(values, dtype=pl.String).drop_nulls()
    old, new = (pseudonym_key(KEYRING, identifier, domain, epoch) for epoch in ("e1", "e2"))
    found = rekey(pseudonymise(series, old), old, new)
    assert (found == pseudonymise(series, new)).all()
    assert (rekey(found, new, old) == pseudonymise(series, old)).all()


def test_rekeying_and_pseudonymising_work_across_the_cipher_s_chunks() -> None:
    codes = pl.Series([f"{number:011d}" for number in range(40_000)])
    new = pseudonym_key(KEYRING, "hetu", "district-stats", "e2")
    assert (rekey(pseudonymise(codes, KEY), KEY, new) == pseudonymise(codes, new)).all()
    late = pl.concat([codes, pl.Series(["longer than a block"])], rechunk=True)
    assert (pseudonymise(late, KEY)[:-1] == pseudonymise(codes, KEY)).all()


@given(identifiers)
def test_memory_that_was_used_before_changes_nothing(values: list[str | None]) -> None:
    series = pl.Series(values, dtype=pl.String)
    used = np.full(room(len(values)) + 100, 7, dtype=np.uint8)
    assert (pseudonymise(series, KEY, used) == pseudonymise(series, KEY)).all()


@given(identifiers, st.integers(0, 5))
def test_a_column_of_pseudonyms_reads_back(values: list[str | None], skip: int) -> None:
    column = to_series(
        pseudonymise(pl.Series(values, dtype=pl.String), KEY),
        "pseudonym",
        pl.Series(values, dtype=pl.String).is_not_null(),
    )
    values = values[skip:]
    series = pl.Series(values, dtype=pl.String)
    found = pseudonymise(series, KEY)
    rows, present = from_series(column.slice(skip))
    assert (rows == found).all()
    assert series.is_not_null().to_list() == ([True] * len(values) if present is None else present.to_list())


def test_a_long_identifier_without_a_digest_root_is_refused() -> None:
    key = pseudonym_key(Keyring("e1", {"e1": ROOT}), "opaque", "district-stats")
    assert pseudonymise(pl.Series(["twelve bytes"]), key).shape == (1, 16)
    with pytest.raises(KeyUnavailable, match="digest root"):
        pseudonymise(pl.Series(["thirteen byte"]), key)


@given(st.lists(short_identifiers, max_size=30))
def test_the_key_holder_can_invert(values: list[str]) -> None:
    blocks = permute(pseudonymise(pl.Series(values, dtype=pl.String), KEY), KEY.permutation, inverse=True)
    for value, block in zip(values, blocks, strict=True):
        data = block.tobytes()
        assert data[4 : 4 + int.from_bytes(data[:4], "little")].decode() == value


@given(identifiers, st.integers(0, 5), st.integers(0, 10))
def test_slices_chunks_and_order_change_nothing(values: list[str | None], skip: int, cut: int) -> None:
    series = pl.Series(values, dtype=pl.String)
    whole = pseudonymise(series, KEY)
    assert (pseudonymise(series.slice(skip), KEY) == whole[skip:]).all()
    chunked = pl.concat([series.head(cut), series.slice(cut)], rechunk=False)
    assert (pseudonymise(chunked, KEY) == whole).all()
    assert (pseudonymise(series.reverse(), KEY) == whole[::-1]).all()


def test_domains_epochs_and_types_share_no_pseudonym() -> None:
    codes = pl.Series([f"{day:06d}-9{n:02d}X" for day in range(10101, 10131) for n in range(100)])
    seen: set[bytes] = set()
    for identifier, domain, epoch in [
        ("hetu", "district-stats", "e1"),
        ("hetu", "district-stats", "e2"),
        ("hetu", "research-A", "e1"),
        ("record", "district-stats", "e1"),
    ]:
        found = {row.tobytes() for row in pseudonymise(codes, pseudonym_key(KEYRING, identifier, domain, epoch))}
        assert len(found) == len(codes)
        assert not seen & found
        seen |= found


def test_an_identifier_that_was_nulled_leaves_nothing_behind() -> None:
    frame = pl.DataFrame({"code": ["010594Y9032", "020504B904H"]})
    nulled = frame.select(pl.when(pl.int_range(pl.len()) > 0).then("code")).to_series()
    assert nulled.to_list() == [None, "020504B904H"]
    assert pseudonymise(nulled, KEY)[0].tobytes() == bytes(16)


def test_a_null_pseudonym_is_null_and_its_bytes_are_zero() -> None:
    present = pl.Series([True, False])
    column = to_series(pseudonymise(pl.Series(["a", None]), KEY), "pseudonym", present)
    assert column.is_null().to_list() == [False, True]
    assert column.dtype == pl.Binary


def test_a_key_shows_itself_nowhere() -> None:
    assert repr(KEY) == f"{KEY}" == "PseudonymKey()"
    assert KEY.permutation == derive(ROOT, "pseudo/v1", "aes256-prp", "hetu", "district-stats", "e1")
    assert KEY.digest == derive(LASTING, "pseudo/v1", "hmac-sha256-128", "hetu", "district-stats")

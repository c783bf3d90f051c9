"""Figures for the pseudonyms, each as a ratio to its limit, in the same run and on one core; no time is asserted."""

import gc
import sys
import time
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from transforms.controller.blocks import blocks
from transforms.controller.keys import new_keyring
from transforms.controller.pseudonymise import from_series, pseudonym_key, pseudonymise, rekey, room, to_series
from transforms.sources.files import BATCH_ROWS

pytestmark = pytest.mark.bench
COUNT = 10_000_000
REPEATS = 7


def say(text: str) -> None:
    sys.stdout.write(f"\n{text}")


def codes(count: int) -> pl.Series:
    """Distinct strings of 11 bytes with the look of a code and no code's individual number."""
    numbers = pl.int_range(count, eager=True)
    day = (numbers // 100 % 100_000).cast(pl.String).str.zfill(6)
    sign = (numbers // 10_000_000).cast(pl.String)
    rest = (numbers % 100).cast(pl.String).str.zfill(2)
    return pl.select(pl.concat_str([pl.lit(day), pl.lit(sign), pl.lit("9"), pl.lit(rest), pl.lit("X")])).to_series()


def best(*works: Callable[[], object]) -> list[float]:
    """The shortest CPU time of each, taken in turns so that the machine's mood meets all alike."""
    found = [float("inf")] * len(works)
    for _ in range(REPEATS):
        for index, work in enumerate(works):
            gc.collect()
            started = time.process_time()
            work()
            found[index] = min(found[index], time.process_time() - started)
    return found


def openssl(source: NDArray[np.uint8], key: bytes, out: NDArray[np.uint8], step: int) -> None:
    """AES-256 of a buffer into memory that was used before, as fast as the library goes."""
    context = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    read, written = source.data, out.data
    for start in range(0, len(source), step):
        context.update_into(read[start : start + step], written[start : start + step + 15])


def test_pseudonymising_against_openssl_on_the_same_buffer() -> None:
    identifiers = codes(COUNT).rechunk()
    assert identifiers.n_unique() == COUNT
    assert set(identifiers.head(1000).str.len_bytes()) == {11}
    key = pseudonym_key(new_keyring(), "hetu", "district-stats")
    source = blocks(identifiers)[0].reshape(-1)
    out, part = np.zeros(room(COUNT), np.uint8), np.zeros(room(BATCH_ROWS), np.uint8)
    batches = [identifiers.slice(start, BATCH_ROWS) for start in range(0, COUNT, BATCH_ROWS)]
    *limits, whole, kept, fresh = best(
        *(lambda step=step: openssl(source, key.permutation, out, step) for step in (1 << 16, 1 << 18, 1 << 20)),
        lambda: pseudonymise(identifiers, key, out),
        lambda: [None for batch in batches if pseudonymise(batch, key, part) is None],
        lambda: [None for batch in batches if pseudonymise(batch, key) is None],
    )
    limit = min(limits)
    say(f"OpenSSL AES-256, best of three step sizes   {COUNT / limit / 1e6:6.0f} M blocks/s")
    for name, seconds in (("whole, memory used before", whole), ("by batch, memory used before", kept)):
        say(f"pseudonymise, {name:30}{COUNT / seconds / 1e6:6.0f} M/s, ratio {limit / seconds:.2f} (limit 0.60)")
    say(f"pseudonymise, {'by batch, as a load does':30}{COUNT / fresh / 1e6:6.0f} M/s, ratio {limit / fresh:.2f}")
    openssl(source, key.permutation, out, 1 << 18)
    assert (pseudonymise(identifiers, key) == out[: COUNT * 16].reshape(-1, 16)).all()


def test_rekeying_ten_million_pseudonyms() -> None:
    keyring = new_keyring().with_pending()
    identifiers = codes(COUNT)
    old, new = (pseudonym_key(keyring, "hetu", "district-stats", epoch) for epoch in ("e1", "e2"))
    pseudonyms = pseudonymise(identifiers, old)
    column = to_series(pseudonyms, "pseudonym")
    fast, whole = best(
        lambda: rekey(pseudonyms, old, new), lambda: to_series(rekey(from_series(column)[0], old, new), "pseudonym")
    )
    say(f"re-keying 10 million pseudonyms            {fast:.3f} s of CPU, {fast / 0.5:.2f} of the limit of 0.5 s")
    say(f"the same from and to a column of Polars    {whole:.3f} s of CPU, {whole / 0.5:.2f} of the limit")
    assert (rekey(pseudonyms, old, new) == pseudonymise(identifiers, new)).all()


def test_one_code_in_two_domains_has_no_equal_bytes_over_ten_million() -> None:
    """No pseudonym of one domain is a pseudonym of the other, in whichever row."""
    keyring = new_keyring()
    identifiers = codes(COUNT)
    found = [
        pseudonymise(identifiers, pseudonym_key(keyring, "hetu", domain)) for domain in ("district-stats", "research-A")
    ]
    words = [
        pl.DataFrame({"word_0": rows.view(np.uint64)[:, 0], "word_1": rows.view(np.uint64)[:, 1]}) for rows in found
    ]
    assert all(part.n_unique() == COUNT for part in words)
    equal = words[0].join(words[1], on=["word_0", "word_1"], how="semi").height
    # A single word of 8 bytes in common would already happen by chance once in 180,000 runs.
    shared = words[0].join(words[1], on="word_0", how="semi").height
    say(f"one code, two domains, 10 million codes: {equal} equal pseudonyms, {shared} equal halves")
    assert equal == 0
    assert shared == 0

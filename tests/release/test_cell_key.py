"""Cell-key perturbation: noise as told, the same for the same cell and count, and drawn anew for another count."""

import hmac
import json
import math
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from disclosure_cases import grid, make_spec

from flows.cli import run
from schemas.errors import DisclosureRefused, KeyUnavailable, UsageRefused
from transforms.release.cell_key import noise_of, table_of
from transforms.release.methods import CellKey
from transforms.release.protect import Protected, protect_counts
from transforms.release.spec import Spec

DAY = date(2026, 10, 31)
SECRET = b"a secret of the city, long enough"


def keyed(dimensions: list[list[str]], *, linked: bool = False, by: tuple[str, ...] = (), **rules: Any) -> Spec:
    own: dict[str, Any] = {"method": "cell_key", "deviation": 8, "variance": 2.0, "date": DAY}
    return make_spec(dimensions, linked=linked, by=by, **(own | rules))


def protect(frame: pl.DataFrame, spec: Spec, secret: bytes = SECRET) -> Protected:
    return protect_counts(frame, spec, secret=secret)


@pytest.mark.parametrize(("deviation", "variance"), [(1, 0.5), (2, 1.0), (5, 2.0), (8, 2.0), (20, 9.0)])
def test_noise_has_no_mean_the_variance_asked_for_and_leaves_no_count_below_zero(
    deviation: int, variance: float
) -> None:
    noise = np.arange(-deviation, deviation + 1)
    for count, row in enumerate(table_of(CellKey(deviation, variance, DAY))):
        assert row.sum() == pytest.approx(1, abs=1e-8)
        assert (row >= 0).all()
        assert not row[count + noise < 0].any()
        assert row @ noise == pytest.approx(0, abs=1e-6)
        assert row @ noise**2 == pytest.approx(variance if count else 0, abs=1e-5)


def test_no_other_noise_with_that_mean_and_variance_has_more_entropy() -> None:
    row = table_of(CellKey(3, 1.5, DAY))[3]
    noise = np.arange(-3, 4)
    # what leaves sum, mean and variance alone: the orthogonal complement of 1, x, x^2
    free = np.linalg.svd(np.stack([np.ones(7), noise, noise**2]))[2][3:]
    most = -(row * np.log(row)).sum()
    for direction in [*free, *-free]:
        other = row + 1e-3 * direction
        assert -(other * np.log(other)).sum() < most


def test_a_cell_is_drawn_as_a_plain_script_draws_it() -> None:
    frame = grid(3, 4, [0, 1, 2, 3, 4, 5, 60, 70, 8, 9, 10, 11])
    spec = keyed([["row"], ["column"]])
    protected = protect(frame, spec)
    chance = table_of(CellKey(8, 2.0, DAY))
    for true, shown in zip(protected.decisions.iter_rows(named=True), protected.table["value"].to_list(), strict=True):
        name = sorted([level, true[level]] for level in ("row", "column") if true[level] != "*")
        text = json.dumps(["2026-10-31", [*name, ["measure", "gap"]], true["value"]])
        part = int.from_bytes(hmac.new(SECRET, text.encode(), sha256).digest()[:6]) / 2**48
        total, noise = 0.0, -8
        for step, share in enumerate(chance[min(true["value"], 8)].tolist()):
            total += share
            if part < total - 1e-12:
                noise = step - 8
                break
        assert shown == true["value"] + noise


def value_of(protected: Protected, **labels: str) -> int:
    names = [name for name in protected.table.columns if name not in ("value", "status", "measure")]
    wanted = {name: labels.get(name, "*") for name in names}
    rows = protected.table.filter(pl.all_horizontal(pl.col(name) == word for name, word in wanted.items()))
    (value,) = rows["value"].to_list()
    return int(value)


def three_way() -> pl.DataFrame:
    random = np.random.default_rng(1)
    rows = [
        {"major": f"M{i // 2}", "district": f"D{i}", "sex": sex, "band": band}
        for i, sex, band in product(range(6), "FM", ("0-17", "18-64", "65-"))
    ]
    return pl.DataFrame(rows).with_columns(gap=pl.Series(random.integers(0, 30, len(rows))))


def test_the_same_cell_is_published_the_same_whatever_stands_around_it() -> None:
    frame = three_way()
    whole = protect(frame, keyed([["major", "district"], ["sex"], ["band"]]))
    coarse = frame.group_by("district", "sex").agg(pl.col("gap").sum())
    other = protect(coarse, keyed([["sex"], ["district"]]))
    for district, sex in product([*frame["district"].unique(), "*"], ["F", "M", "*"]):
        same = {} if district == "*" else {"district": district, "major": f"M{int(district[1]) // 2}"}
        assert value_of(whole, sex=sex, **same) == value_of(other, sex=sex, district=district)


def test_a_count_that_was_corrected_by_one_is_drawn_anew() -> None:
    frame = grid(12, 12, [40] * 144)
    spec = keyed([["row"], ["column"]])
    one = protect(frame, spec)
    more = protect(frame.with_columns(pl.col("gap") + 1), spec)
    inner = pl.all_horizontal(pl.col("row", "column") != "*")
    change = (more.table.filter(inner)["value"] - one.table.filter(inner)["value"]).to_numpy()
    assert np.unique(change).size > 4
    assert change.var() == pytest.approx(4, rel=0.5)


def test_another_date_and_another_secret_draw_anew() -> None:
    frame = grid(12, 12, [40] * 144)
    one = protect(frame, keyed([["row"], ["column"]])).table["value"]
    for other in (
        protect(frame, keyed([["row"], ["column"]], date=date(2026, 11, 30))),
        protect(frame, keyed([["row"], ["column"]]), secret=b"another secret of the city"),
    ):
        assert (one != other.table["value"]).sum() > 60
    assert one.equals(
        protect(frame.sample(fraction=1, shuffle=True, seed=1), keyed([["row"], ["column"]])).table["value"]
    )


def test_an_only_child_goes_by_its_parents_name() -> None:
    frame = pl.DataFrame({"major": ["M1", "M2", "M2"], "district": ["D1", "D2", "D3"], "gap": [30, 40, 50]})
    protected = protect(frame, keyed([["major", "district"]]))
    assert value_of(protected, major="M1") == value_of(protected, major="M1", district="D1")


def test_indicators_of_one_population_show_it_alike() -> None:
    rows = [{"i": i, "row": f"r{r}", "gap": r + (i == "b"), "eligible": 20 + r} for i, r in product("ab", range(1, 6))]
    protected = protect(pl.DataFrame(rows), keyed([["row"]], linked=True, by=("i",)))
    eligible = protected.table.filter(pl.col("measure") == "eligible")
    assert eligible.filter(pl.col("i") == "a")["value"].equals(eligible.filter(pl.col("i") == "b")["value"])


def test_zeros_stay_and_noise_is_within_what_is_told() -> None:
    protected = protect(three_way(), keyed([["major", "district"], ["sex"], ["band"]], deviation=5))
    true, shown = protected.decisions["value"].to_numpy(), protected.table["value"].to_numpy()
    assert (shown[true == 0] == 0).all()
    assert (shown >= 0).all()
    assert np.abs(shown - true).max() <= 5
    assert protected.certificate["method"]["noise"] == noise_of(CellKey(5, 2.0, DAY))
    assert protected.certificate["exactly_recoverable"] == 0
    assert "secret" not in json.dumps(protected.certificate)


def test_noise_too_small_for_the_sums_is_refused_by_the_auditor() -> None:
    """A count and its two parts, each off by the most there is, in directions that add up: then all three are told."""

    def outcome(number: int) -> int:
        frame = pl.DataFrame({"row": [f"a{number}", f"b{number}"], "gap": [3, 4]})
        try:
            protect(frame, keyed([["row"]], deviation=1, variance=0.9))
        except DisclosureRefused as refusal:
            return refusal.exit_code if "too small" in refusal.rule else -1
        return 0

    assert {outcome(number) for number in range(60)} == {0, 13}


@pytest.mark.parametrize("secret", [None, b"", b"short"])
def test_no_secret_no_noise(secret: bytes | None) -> None:
    with pytest.raises(KeyUnavailable):
        protect_counts(grid(2, 2, [5, 10, 20, 30]), keyed([["row"], ["column"]]), secret=secret)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no deviation": ({"deviation": None}, "deviation must be"),
    "no date": ({"date": "2026-10-31"}, "date must be"),
    "no variance": ({"variance": 0}, "variance must be"),
    "too much variance": ({"variance": 8.0}, "does not fit"),
    "endless variance": ({"variance": math.nan}, "variance must be"),
    "a base": ({"base": 5}, "does not belong"),
    "not small with little noise": ({"guarantee": "not_small", "deviation": 4}, "proven to be small"),
}


@pytest.mark.parametrize(("rules", "words"), BAD.values(), ids=BAD.keys())
def test_bad_noise_is_refused(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageRefused, match=words):
        keyed([["row"]], **rules)


SPEC = """
count = "gap"
[[dimension]]
levels = ["row"]
[[dimension]]
levels = ["column"]
[rules]
threshold = 5
"""
NOISE = 'method = "cell_key"\ndeviation = 8\nvariance = 2\ndate = 2026-10-31\n'
ROUND = 'method = "rounding"\nbase = 5\n'


@pytest.fixture
def caregap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    grid(4, 4, [3, 1, 20, 0, 2, 50, 4, 4, 0, 9, 8, 7, 12, 13, 14, 15]).write_csv(tmp_path / "counts.csv")
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("CAREGAP_CELL_KEY_FILE", str(tmp_path / "secret"))

    def call(*arguments: str, spec: str | None = None) -> int:
        if spec is not None:
            (tmp_path / "spec.toml").write_text(spec)
            files = ["--counts", tmp_path / "counts.csv", "--spec", tmp_path / "spec.toml", "--out", tmp_path / "out"]
            arguments = ("protect", *map(str, files))
        return run([*arguments, "--data", str(tmp_path / "data")])

    return call


@pytest.mark.parametrize("method", [NOISE, ROUND], ids=["cell_key", "rounding"])
def test_the_commands_keep_their_contract(
    method: str, caregap: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert caregap(spec=SPEC + method) == 0
    out = tmp_path / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "certificate.json",
        "confidential/decisions.parquet",
        "confidential/figures.json",
        "table.csv",
    ]
    table = pl.read_csv(out / "table.csv")
    assert table.columns == ["row", "column", "value", "status"]
    assert set(table["status"]) == {"published"}
    assert caregap("attack", str(out)) == 0
    assert "The guarantee not_exact holds" in capsys.readouterr().out
    assert caregap("attack", "--verify-witnesses", str(out)) == 2
    assert caregap("attack", str(out), str(out)) == 2
    (out / "table.csv").write_text((out / "table.csv").read_text().replace("*,*,", "*,*,9"))
    assert caregap("attack", str(out)) == 13
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert all(line.startswith("caregap: ") for line in said)


def test_a_secret_that_is_not_there_or_open_to_others_is_refused(
    caregap: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "secret").chmod(0o644)
    assert caregap(spec=SPEC + NOISE) == 16
    (tmp_path / "secret").unlink()
    assert caregap(spec=SPEC + NOISE) == 16
    monkeypatch.delenv("CAREGAP_CELL_KEY_FILE")
    assert caregap(spec=SPEC + NOISE) == 16
    said = capsys.readouterr().err.splitlines()
    assert ["others may read" in said[0], "cannot be read" in said[1], "need a secret" in said[2]] == [True] * 3
    assert not (tmp_path / "out").exists()

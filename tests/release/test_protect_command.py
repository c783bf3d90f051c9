"""`caregap protect` and `caregap attack` as a person calls them: what is refused, its code and its one line."""

import json
from pathlib import Path

import pytest

from flows.cli import run

SPEC = """
count = "gap"
eligible = "eligible"
by = ["indicator"]
[[dimension]]
levels = ["major", "district"]
[rules]
threshold = 5
"""
GOOD = """indicator,major,district,gap,eligible
a,M1,D1,3,30
a,M1,D2,40,90
a,M1,D3,50,80
a,M2,D4,60,70
a,M2,D5,70,99
"""
BAD = {
    "negative": ("a,M1,D2,40,90", "a,M1,D2,-40,90", 13, "counts.gap: the count is negative (1 rows). "),
    "fractional": ("a,M1,D2,40,90", "a,M1,D2,40.5,90", 13, "counts.gap: the count is not a whole number (1 rows). "),
    "no number": ("a,M1,D2,40,90", "a,M1,D2,few,90", 13, "counts.gap: the count is not a whole number (1 rows). "),
    "no eligible": ("a,M1,D2,40,90", "a,M1,D2,40,", 13, "counts.eligible: the count is not a whole number (1 rows). "),
    "gap above eligible": (
        "a,M1,D2,40,90",
        "a,M1,D2,91,90",
        13,
        "counts.gap: the count is above the eligible (1 rows)",
    ),
    "a level with two parents": (
        "a,M2,D4,60,70",
        "a,M2,D1,60,70",
        13,
        "counts.district: the level has two parents in major (2 rows). ",
    ),
    "duplicate cells": ("a,M1,D2,40,90", "a,M1,D1,40,90", 13, "counts: a cell stands more than once; sum its rows (2 "),
    "a sum among the cells": ("a,M2,D4,60,70", "a,M2,*,60,70", 13, "counts.district: * is kept for sums"),
    "a label missing": ("a,M2,D4,60,70", "a,,D4,60,70", 13, "counts.major: the label is missing (1 rows). "),
    "nothing left to publish": (GOOD.split("\n", 1)[1], "a,M1,D1,1,2\n", 13, "counts: nothing is left to publish"),
    "no cell": (GOOD.split("\n", 1)[1], "", 13, "counts: there is no cell to publish"),
    "a column missing": ("indicator,major", "indicator,suuri", 2, "counts.major: the column is missing. "),
    "no file": (GOOD, None, 2, "counts: the file cannot be read as CSV. "),
    "an unknown rule": (
        "threshold = 5",
        "threshold = 5\nrounding = 3",
        2,
        "spec: [rules] has a key that is not known. ",
    ),
    "a threshold of 1": ("threshold = 5", "threshold = 1", 2, "spec: threshold must be a whole number of at least 2. "),
    "no TOML": ("count = ", "count ", 2, "the spec is not valid TOML. "),
}


def protect(folder: Path, counts: str | None, spec: str) -> int:
    if counts is not None:
        (folder / "counts.csv").write_text(counts)
    (folder / "spec.toml").write_text(spec)
    arguments = ["--counts", folder / "counts.csv", "--spec", folder / "spec.toml", "--out", folder / "out"]
    return run(["protect", *map(str, arguments), "--data", str(folder / "data")])


@pytest.mark.parametrize(("was", "now", "code", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_refused_in_one_line_and_nothing_is_written(
    was: str, now: str | None, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert was in GOOD + SPEC
    counts = None if now is None else GOOD.replace(was, now)
    assert protect(tmp_path, counts, SPEC.replace(was, now or was)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"caregap: {words}")
    assert said.err.count("\n") == 1
    left = {path.name for path in tmp_path.iterdir()} - {"data"}
    assert left <= {"counts.csv", "spec.toml"}


def test_a_table_is_protected_and_attacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert protect(tmp_path, GOOD, SPEC) == 0
    assert "also suppressed" in capsys.readouterr().out
    for arguments in (["attack"], ["attack", "--verify-witnesses"]):
        assert run([*arguments, str(tmp_path / "out"), "--data", str(tmp_path / "data")]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "holds" in said.out


def test_a_table_that_tells_an_unsafe_cell_is_refused_by_the_auditor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert protect(tmp_path, GOOD, SPEC) == 0
    capsys.readouterr()
    table = (tmp_path / "out/table.csv").read_text()
    assert "a,M1,D1,gap,,suppressed\n" in table
    (tmp_path / "out/table.csv").write_text(table.replace("a,M1,D1,gap,,suppressed", "a,M1,D1,gap,3,published"))
    assert run(["attack", str(tmp_path / "out"), "--data", str(tmp_path / "data")]) == 13
    said = capsys.readouterr()
    assert said.err.startswith("caregap: table.csv: the guarantee not_exact does not hold")
    assert said.err.count("\n") == 1


def test_the_certificate_is_readable_and_says_who_the_attacker_is(tmp_path: Path) -> None:
    assert protect(tmp_path, GOOD, SPEC) == 0
    certificate = json.loads((tmp_path / "out/certificate.json").read_text())
    assert certificate["rules"]["guarantee"] == "not_exact"
    assert certificate["bound"] == "quick"
    assert "knows every published cell" in certificate["attacker"]


def protect_again(folder: Path, counts: str, spec: str, out: str) -> int:
    (folder / "counts.csv").write_text(counts)
    (folder / "spec.toml").write_text(spec)
    given = {"counts": "counts.csv", "spec": "spec.toml", "out": out, "ledger": "ledger"}
    arguments = [word for name, path in given.items() for word in (f"--{name}", str(folder / path))]
    return run(["protect", *arguments, "--data", str(folder / "data")])


def test_a_table_of_a_ledger_hides_what_was_hidden_and_both_together_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One person more in a district: without the ledger the two tables need not hide the same cells."""
    assert protect_again(tmp_path, GOOD, SPEC, "first") == 0
    corrected = GOOD.replace("a,M1,D3,50,80", "a,M1,D3,51,81")
    assert protect_again(tmp_path, corrected, SPEC, "second") == 0
    assert protect_again(tmp_path, corrected, SPEC, "second") == 0
    assert [path.name for path in sorted((tmp_path / "ledger").iterdir())] == [
        "000001_first.parquet",
        "000002_second.parquet",
    ]
    certificate = json.loads((tmp_path / "second/certificate.json").read_text())
    assert certificate["earlier_releases"] == 1
    capsys.readouterr()
    folders = [str(tmp_path / name) for name in ("first", "second")]
    assert run(["attack", *folders, "--data", str(tmp_path / "data")]) == 0


def test_cells_that_are_out_already_stop_a_table_and_are_named_in_the_ledger_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A count of 3 was safe under the threshold of then; hiding it now would not take it back."""
    assert protect_again(tmp_path, GOOD, SPEC.replace("threshold = 5", "threshold = 2"), "first") == 0
    capsys.readouterr()
    assert protect_again(tmp_path, GOOD, SPEC, "second") == 13
    said = capsys.readouterr()
    named = tmp_path / "ledger/refused_second.csv"
    assert named.read_text() == "indicator,major,district,measure\na,M1,D1,gap\n"
    assert named.stat().st_mode & 0o077 == 0
    assert said.err.startswith("caregap: counts: what was published before tells unsafe cells in indicator a, ")
    assert said.err.count("\n") == 1
    assert str(named) in said.err
    assert "D1" not in said.err.replace(str(named), "")
    assert not (tmp_path / "second").exists()


def test_a_ledger_is_not_for_tables_of_changed_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = SPEC.replace("threshold = 5", 'threshold = 5\nmethod = "rounding"\nbase = 3')
    assert protect_again(tmp_path, GOOD, spec, "first") == 2
    assert "a ledger is for tables with suppressed cells" in capsys.readouterr().err

"""The pages on a real candidate: made of its own bytes or not at all, for its owner's eyes, and as it stands now."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from flows import audit
from flows.room.review import FILES
from flows.settings import Layout
from schemas.labels import LANGUAGES, load_section
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.test_release_room import (  # noqa: F401 - fixtures among them
    CANDIDATE,
    Keys,
    built,
    changed_byte,
    changed_manifest,
    edit,
    room,
    sign,
    with_candidate,
)
from tests.release.page_reader import Page
from transforms.release.datapackage import sha256
from transforms.release.review.views import page_name


def confidential(data: Path) -> Path:
    return Layout(data).candidates / CANDIDATE / "confidential"


def texts(data: Path) -> dict[str, str]:
    return {one: Page((confidential(data) / page_name(one)).read_bytes()).text for one in LANGUAGES}


def show(caregap: Caregap, data: Path, language: str = "en") -> str:
    done = caregap("candidate", "show", CANDIDATE, "--language", language, data=data)
    assert done.code == 0, done.err
    return done.out


def test_a_candidates_pages_say_what_it_says_in_three_languages(built: Path, caregap: Caregap) -> None:  # noqa: F811
    decisions = pl.read_parquet(confidential(built) / "decisions.parquet")
    hidden = decisions.filter(pl.col("decision") != "published")
    for language in LANGUAGES:
        own, out = load_section(language, "room"), show(caregap, built, language)
        assert own["verdict_held"] in out
        assert out.endswith(f"{confidential(built) / page_name(language)}\n")
        told = texts(built)[language]
        mark = "," if language == "en" else "\u00a0"
        for decision in ("primary", "secondary"):
            count = f"{decisions.filter(pl.col('decision') == decision).height:,}".replace(",", mark)
            assert count in told
            assert count in out
        assert own["state_waiting"].format(left=f"{own['role_data_steward']} (1)") in told
        assert own["quality_passed"].partition("{")[0] in told
    listed = pl.read_csv(confidential(built) / "hidden.csv", infer_schema=False)
    names = [name for name in listed.columns if name in hidden.columns]
    assert listed.select(names).sort(names).equals(hidden.select(names).sort(names))
    for name in FILES:
        assert stat.S_IMODE((confidential(built) / name).stat().st_mode) == 0o600


def test_every_link_of_a_page_leads_to_a_file_that_is_there(built: Path, caregap: Caregap) -> None:  # noqa: F811
    show(caregap, built)
    for language in LANGUAGES:
        page = Page((confidential(built) / page_name(language)).read_bytes())
        links = {str(attributes["href"]) for tag, attributes in page.tags if tag == "a"}
        files = {link for link in links if not link.startswith("#")}
        assert all((confidential(built) / link).is_file() for link in files), files
        assert any(link.startswith("../../../../platform/quality/runs/") for link in files)
        assert f"../public/{language}/index.html" in files


def forged_decision(data: Path, keys: Keys) -> None:
    entry = {"statement": {}, "signature": "", "key": ""}
    (Layout(data).candidates / CANDIDATE / "decisions.json").write_text(json.dumps([entry]))


def another_rule(data: Path, keys: Keys) -> None:
    """Cells that are unsafe are said to be hidden for the sake of others."""
    path = confidential(data) / "decisions.parquet"
    found = pl.read_parquet(path)
    found.with_columns(pl.col("decision").replace("primary", "secondary")).write_parquet(path)


def another_cell(data: Path, keys: Keys) -> None:
    """One cell is said to be hidden in the place of another; so many are hidden as before."""
    path = confidential(data) / "decisions.parquet"
    found = pl.read_parquet(path).with_row_index("row")
    first = {one: found.filter(pl.col("decision") == one)["row"][0] for one in ("published", "secondary")}
    swapped = {first["published"]: "secondary", first["secondary"]: "published"}
    decision = pl.col("row").replace_strict(swapped, default=pl.col("decision"), return_dtype=pl.String)
    found.with_columns(decision=decision).drop("row").write_parquet(path)


CHANGES: dict[str, tuple[Callable[[Path, Keys], None], int]] = {
    "changed byte": (changed_byte, 14),
    "changed manifest": (changed_manifest, 14),
    "forged decision": (forged_decision, 14),
    "another rule": (another_rule, 13),
    "another cell": (another_cell, 13),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_candidate_whose_parts_do_not_agree_has_no_page(
    change: str,
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
) -> None:
    for name in FILES:
        (confidential(built) / name).write_text("of before")
    tamper, code = CHANGES[change]
    tamper(built, stewards)
    assert caregap("candidate", "show", CANDIDATE, data=built).code == code
    assert not any((confidential(built) / name).exists() for name in FILES)


def test_a_page_shows_how_things_stand(room: Path, caregap: Caregap, stewards: Keys) -> None:  # noqa: F811
    edit('name = "Counter"', f'name = "Counter"\naccounts = ["{audit.account()}"]')
    edit('name = "Other Steward"', 'name = "Other Steward"\nrevoked = 2026-01-01')
    show(caregap, room)
    for language, told in texts(room).items():
        own = load_section(language, "room")
        both = f"{own['role_data_steward']} (1), {own['role_statistician']} (1)"
        assert own["state_waiting"].format(left=both) in told
        assert [own[key] in told for key in ("bar_built_it", "bar_revoked", "may_sign")] == [True] * 3
        assert '--as "Data Steward"' in told
        assert own["decisions_none"] in told
    edit(f'\naccounts = ["{audit.account()}"]', "")
    for name, state in (("Data Steward", "waiting"), ("Counter", "published")):
        assert sign(caregap, room, stewards, name).code == 0
        show(caregap, room)
        for language, told in texts(room).items():
            own = load_section(language, "room")
            assert own[f"state_{state}"].format(left=f"{own['role_statistician']} (1)") in told
            assert "figures checked" in told
            assert own["signed"].partition("{")[0] in told
    assert sign(caregap, room, stewards, "Data Steward", "withdraw").code == 0
    show(caregap, room)
    for language, told in texts(room).items():
        own = load_section(language, "room")
        assert own["state_withdrawn"] in told
        assert own["decision_withdraw"] in told


def test_the_list_tells_each_state_in_each_language_and_a_broken_one_too(
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
) -> None:
    for language in LANGUAGES:
        own = load_section(language, "room")
        _, _, line = caregap("candidate", "list", "--language", language, data=built).out.splitlines()
        left = "1 signature of a data_steward" if language == "en" else f"{own['role_data_steward']} (1)"
        waits = own["short_waiting"].format(left=left)
        assert line == f"{CANDIDATE},{AS_OF},{audit.account()},{waits}"
    forged_decision(built, stewards)
    first, broken = caregap("candidate", "list", data=built).out.splitlines()[1:]
    assert first.endswith(",published")
    assert "not valid: the decisions on the release cannot be read" in broken


def earlier_release(data: Path, name: str, day: str, **about: object) -> Path:
    """A release of a city that came before: the one that is there, of another date, with ten gaps fewer in the city."""
    published = Layout(data).published
    folder = Path(shutil.copytree(published / f"{AS_OF}-1", published / name))
    is_city = pl.all_horizontal(pl.col(part) == "*" for part in ("major", "district", "sex", "age_band"))
    table = pl.read_parquet(folder / "table.parquet")
    city = table.filter(is_city, measure="gap", status="published").sort("value", descending=True)
    is_gap = is_city & (pl.col("measure") == "gap") & (pl.col("indicator") == city["indicator"][0])
    table = table.with_columns(as_of=pl.lit(day).str.to_date(), value=pl.col("value") - 10 * is_gap.cast(pl.Int64))
    table.write_parquet(folder / "table.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"release_id": name, "as_of": day, "generated": False} | about
    manifest["sha256"]["table.parquet"] = sha256((folder / "table.parquet").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_candidate_is_compared_with_the_release_before_it_of_the_same_city(
    built: Path,  # noqa: F811
    caregap: Caregap,
) -> None:
    assert "There is no earlier release" in show(caregap, built)  # what is out is of a generated city
    earlier_release(built, "2026-08-31-1", "2026-08-31")
    earlier_release(built, "2026-11-30-1", "2026-11-30")
    folder = earlier_release(built, "2026-09-30-1", "2026-09-30")
    out = show(caregap, built)
    assert "Compared with release 2026-09-30-1 as of 2026-09-30. The candidate is as of 2026-10-31." in out
    assert out.count("+10\n") == 1
    assert "+10" in texts(built)["sv"]
    withdrawn = {"decision": "withdraw", "decided": "2026-10-01T00:00:00+00:00", "reason": "", "steward": ""}
    statement = {"release_id": "", "manifest_sha256": "", "previous": "", **withdrawn}
    entry = {"statement": statement, "signature": "", "key": ""}
    decided = folder / "decisions.json"
    kept = decided.read_bytes()
    decided.write_text(json.dumps([entry]))
    assert "Compared with release 2026-08-31-1" in show(caregap, built)
    decided.write_bytes(kept)
    table = folder / "table.parquet"
    pl.read_parquet(table).with_columns(pl.col("value") + 1).write_parquet(table)
    refused = caregap("candidate", "show", CANDIDATE, data=built)
    assert (refused.code, "not that of its manifest" in refused.err) == (14, True)

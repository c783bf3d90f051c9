"""Cuts of the same people that do not nest: what tables tell together is what all ways to fill the groups agree on."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pytest
from disclosure_cases import make_spec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_attack import all_cells, hide, public_rules

from schemas.errors import DisclosureRefused
from transforms.release.attack import attack_releases, attack_tables, describe
from transforms.release.published import Release
from transforms.release.spec import Spec

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@dataclass(frozen=True)
class Way:
    """Smallest groups with their labels in every cut, and the level columns of each table."""

    groups: list[dict[str, str]]
    tables: list[list[str]]
    classes: tuple[tuple[str, ...], ...] = ()
    correspondence: bool = False

    def margins(self) -> list[list[int]]:
        """Every group that some table could have: the places of the smallest groups that it is made of."""
        found: list[list[int]] = [list(range(len(self.groups)))] if self.classes else []
        for levels in self.classes:
            names = [tuple(group[level] for level in levels) for group in self.groups]
            found += [[place for place in of if names[place] == name] for of in found for name in dict.fromkeys(names)]
        return found

    def correspond(self) -> pl.DataFrame | None:
        return pl.DataFrame(self.groups) if self.correspondence else None


def product_of(**levels: list[str]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = [{}]
    for name, labels in levels.items():
        rows = [row | {name: label} for row in rows for label in labels]
    return rows


BANDINGS = Way(
    [
        {"broad": "0-17", "school": "0-14"},
        {"broad": "0-17", "school": "15-64"},
        {"broad": "18-64", "school": "15-64"},
        {"broad": "65-", "school": "65+"},
    ],
    [["broad"], ["school"]],
    (("broad", "school"),),
)
WAYS = {
    "two bandings": BANDINGS,
    "one name, two bandings": Way(BANDINGS.groups, [["broad"], ["school"]], BANDINGS.classes),
    "districts and stations": Way(
        [
            {"district": "d1", "station": "s1"},
            {"district": "d1", "station": "s2"},
            {"district": "d2", "station": "s2"},
            {"district": "d3", "station": "s3"},
        ],
        [["district"], ["station"]],
        (("district", "station"),),
        correspondence=True,
    ),
    "three sides of a cube": Way(
        product_of(a=["a1", "a2"], b=["b1", "b2"], c=["c1", "c2"]),
        [["a", "b"], ["b", "c"], ["a", "c"]],
        (("a",), ("b",), ("c",)),
    ),
    "two dimensions and one of them": Way(
        product_of(a=["a1", "a2"], b=["b1", "b2", "b3"]), [["a", "b"], ["b"]]
    ),
}  # fmt: skip


def fillings(size: int, total: int) -> Iterator[tuple[int, ...]]:
    if size == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in fillings(size - 1, total - first):
            yield (first, *rest)


def table_of(way: Way, levels: list[str], counts: tuple[int, ...], spec: Spec) -> pl.DataFrame:
    frame = pl.DataFrame(way.groups).with_columns(gap=pl.Series(counts)).group_by(levels).agg(pl.col("gap").sum())
    return all_cells(frame, spec)


@pytest.mark.parametrize("name", WAYS)
@settings(SLOW, max_examples=25)
@given(st.data())
def test_tables_tell_together_what_all_fillings_agree_on(name: str, data: st.DataObject) -> None:
    way = WAYS[name]
    most = 1 if len(way.groups) > 6 else 3
    counts = tuple(data.draw(st.lists(st.integers(0, most), min_size=len(way.groups), max_size=len(way.groups))))
    assume(sum(counts) <= (6 if len(counts) > 6 else 9))
    zeros = data.draw(st.sampled_from(["publish", "protect"]))
    specs = [make_spec([[level] for level in levels], zeros=zeros, threshold=3) for levels in way.tables]
    cells = [table_of(way, levels, counts, spec) for levels, spec in zip(way.tables, specs, strict=True)]
    tables, rename = [], {"school": "broad"} if name == "one name, two bandings" else {}
    for number, each in enumerate(cells):
        wish = pl.Series(data.draw(st.lists(st.booleans(), min_size=each.height, max_size=each.height)))
        is_total = each.select(pl.all_horizontal(pl.col(level) == "*" for level in way.tables[number]))[:, 0]
        tables.append(hide(each, wish & ((each["value"] > 0) | (zeros == "protect")) & ~is_total))
    assume(any((table["status"] == "suppressed").any() for table in tables))
    inside = [
        [
            [place for place, group in enumerate(way.groups) if all(row[x] in ("*", group[x]) for x in levels)]
            for row in table.iter_rows(named=True)
        ]
        for levels, table in zip(way.tables, tables, strict=True)
    ]
    shown = [table["value"].to_list() for table in tables]
    values: dict[tuple[int, int], set[int]] = {}
    of_groups: list[set[int]] = [set() for _ in way.margins()]
    floor = int(zeros == "publish")
    for filling in fillings(len(counts), sum(counts)):
        sums = [[sum(filling[place] for place in of) for of in cells_of] for cells_of in inside]
        if all(
            total == value if value is not None else total >= floor
            for of, with_values in zip(sums, shown, strict=True)
            for total, value in zip(of, with_values, strict=True)
        ):
            for places, seen in zip(way.margins(), of_groups, strict=True):
                seen.add(sum(filling[place] for place in places))
            for number, of in enumerate(sums):
                for row, total in enumerate(of):
                    values.setdefault((number, row), set()).add(total)
    releases = [
        Release(
            table.rename({old: new for old, new in rename.items() if old in table.columns}),
            public_rules(make_spec([[rename.get(level, level)] for level in levels], zeros=zeros, threshold=3)),
            correspondence=way.correspond(),
        )
        for levels, table in zip(way.tables, tables, strict=True)
    ]
    verdict = attack_releases(releases, tight=True)
    assert verdict.told_groups == sum(len(seen) == 1 and floor <= min(seen) < 3 for seen in of_groups)
    assert verdict.cells.height == sum(table["value"].null_count() for table in tables)
    for row in verdict.cells.iter_rows(named=True):
        fits = values[row["release"], row["#place"]]
        assert (row["lowest"], row["highest"]) == (min(fits), max(fits))
        assert row["is_exact"] == (len(fits) == 1)


def publish(way: Way, counts: tuple[int, ...], hidden: set[str]) -> list[tuple[pl.DataFrame, Spec]]:
    found = []
    for levels in way.tables:
        spec = make_spec([[level] for level in levels])
        cells = table_of(way, levels, counts, spec)
        found.append((hide(cells, cells[levels[0]].is_in(hidden)), spec))
    return found


def test_a_second_banding_gives_a_hidden_group_away() -> None:
    """65+ is 3 and hidden in both cuts, or published in one of them."""
    tables = publish(BANDINGS, (7, 20, 20, 3), {"0-17", "65-", "0-14", "65+"})
    assert attack_tables([(table, public_rules(spec)) for table, spec in tables]).holds
    naive = publish(BANDINGS, (7, 20, 20, 3), {"0-17", "65-", "0-14"})
    assert all(attack_tables([(table, public_rules(spec))]).recovered_unsafe == 0 for table, spec in naive)
    verdict = attack_tables([(table, public_rules(spec)) for table, spec in naive])
    assert verdict.cells.filter(broad="65-")["lowest"].to_list() == [3]
    assert not verdict.holds


def test_two_bandings_tell_of_a_group_that_neither_has() -> None:
    """9 below 18 and 7 below 15: two of 15 to 17, though no table has them and no count is small."""
    tables = [(table, public_rules(spec)) for table, spec in publish(BANDINGS, (7, 2, 20, 9), set())]
    assert all(attack_tables([each]).holds for each in tables)
    together = attack_tables(tables)
    assert (together.told_groups, together.holds) == (1, False)
    assert "groups told" in describe(together)
    safe = [(table, public_rules(spec)) for table, spec in publish(BANDINGS, (7, 5, 20, 9), set())]
    assert attack_tables(safe).holds


def test_what_overlaps_nobody_knows_how_is_refused() -> None:
    way = WAYS["districts and stations"]
    tables = [(table, public_rules(spec)) for table, spec in publish(way, (6, 7, 8, 9), {"d1", "d2"})]
    with pytest.raises(DisclosureRefused, match="overlap") as refusal:
        attack_tables(tables)
    assert refusal.value.exit_code == 13
    assert attack_tables(tables, correspondence=way.correspond()).cells.height == 2
    left_out = pl.DataFrame(way.groups[:-1])
    with pytest.raises(DisclosureRefused, match="leaves groups"):
        attack_tables(tables, correspondence=left_out)


def test_counts_that_no_groups_have_together_are_refused() -> None:
    one, other = (
        publish(BANDINGS, counts, set())[place] for place, counts in enumerate([(7, 6, 20, 9), (7, 6, 21, 9)])
    )
    with pytest.raises(DisclosureRefused, match="no whole counts fit"):
        attack_tables([(table, public_rules(spec)) for table, spec in (one, other)])

"""What a file's statistics say of retracted rows is so; where they do not say it, nothing is taken for granted."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.retracted import IS_RETRACTED, retracted_in

flags = st.lists(st.sampled_from([True, False, None]), max_size=7)
same = st.tuples(st.sampled_from([[True], [False], [None], [False, None]]), st.integers(0, 3)).map(
    lambda kind: kind[0] * kind[1]
)


@pytest.mark.parametrize("writer", ["arrow", "polars"])
@given(values=st.one_of(flags, same), group=st.integers(1, 4), said=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_is_of_one_kind_where_it_says_so(
    writer: str, values: list[bool | None], group: int, said: bool, tmp_path: Path
) -> None:
    rows, path = pl.DataFrame({"is_retracted": values}, schema={"is_retracted": pl.Boolean}), tmp_path / "rows.parquet"
    if writer == "arrow":
        pq.write_table(rows.to_arrow(), path, row_group_size=group, write_statistics=said)
    else:
        rows.write_parquet(path, row_group_size=group, statistics=said)
    are = set(rows.select(IS_RETRACTED).to_series())
    holds = retracted_in(pq.read_metadata(path))
    if said or not are:
        assert holds == ("only" if are == {True} else "unknown" if True in are else "none")
    else:
        assert holds == "unknown"


def test_a_file_without_the_column_says_nothing(tmp_path: Path) -> None:
    pl.DataFrame({"code": ["I10"]}).write_parquet(tmp_path / "rows.parquet")
    assert retracted_in(pq.read_metadata(tmp_path / "rows.parquet")) == "unknown"

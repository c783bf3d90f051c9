"""A date that is out already: another table of it would give hidden counts away."""

import json
from pathlib import Path

import pytest

from flows.settings import Layout
from schemas.errors import DisclosureRefused


@pytest.mark.parametrize(
    ("generated", "table", "refused"), [(False, "b", True), (False, "a", False), (True, "b", False)]
)
def test_a_second_table_of_a_date_is_refused(
    tmp_path: Path, prefect_api: str, generated: bool, table: str, refused: bool
) -> None:
    from flows.release import _refuse_second_table

    layout = Layout(tmp_path)
    for folder, name, digest in ((layout.published, "d-1", "a"), (layout.candidates, "d-2", table)):
        (folder / name).mkdir(parents=True)
        manifest = {"release_id": name, "as_of": "d", "generated": generated, "sha256": {"table.csv": digest}}
        (folder / name / "manifest.json").write_text(json.dumps(manifest))
    if refused:
        with pytest.raises(DisclosureRefused, match="d-1"):
            _refuse_second_table(layout, "d-2")
    else:
        _refuse_second_table(layout, "d-2")

"""Who publishes: what stands in publisher.toml, and what is still to be filled in."""

from pathlib import Path

import pytest

from schemas.errors import UsageRefused
from schemas.publisher import load_publisher, to_fill_in


def test_an_address_is_read_and_a_missing_one_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "publisher.toml"
    path.write_text('email = "feedback@city.example"\n')
    assert to_fill_in(load_publisher(path).email) == ""
    path.write_text('email = ""\n')
    assert "schemas/publisher.toml" in to_fill_in(load_publisher(path).email)


@pytest.mark.parametrize(
    "text", ["", "email = 5", 'email = "nobody"', 'email = "a@b@c"', 'email = ""\nphone = ""', "="]
)
def test_what_is_not_an_address_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "publisher.toml").write_text(text)
    with pytest.raises(UsageRefused):
        load_publisher(tmp_path / "publisher.toml")

"""What a source notices while it is read, gathered into remarks."""

from transforms.sources import Remark


class Notes:
    """Remarks by table, column and rule, in the order in which they first came; counts add up."""

    def __init__(self) -> None:
        """Start with none."""
        self._counts: dict[tuple[str, str | None, str], int | None] = {}

    def note(self, table: str, column: str | None, rule: str) -> None:
        """Remember something that is so once and for all."""
        self._counts.setdefault((table, column, rule), None)

    def count(self, table: str, column: str | None, rule: str, count: int) -> None:
        """Remember that it is so in `count` more rows; nothing where there are none."""
        if count:
            where = (table, column, rule)
            self._counts[where] = (self._counts.get(where) or 0) + count

    def remarks(self) -> list[Remark]:
        """Give what was noticed."""
        return [Remark(*where, count) for where, count in self._counts.items()]

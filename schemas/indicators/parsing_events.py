"""From the TOML of a clause about rows of a table to `Events`."""

import calendar
import re
from typing import Any, Literal, cast

from schemas.indicators.clauses import AtLeast, Bounds, Clause, Conditions, Events, Follow, Period, Season
from schemas.indicators.reading import Place, keys, parse_number, parse_period, parse_values, parse_whole
from schemas.table import Kind, Table
from schemas.tables import TABLES

ROW_KEYS = ("codes", "where", "where_not")
"""What says which rows are looked at."""
EVENT_KEYS = (
    *ROW_KEYS, "within", "begun_at_least", "in_season", "from_age", "to_age", "active", "value", "latest",
    "without_before", "followed_by", "not_followed_by", "at_least", "distinct", "total",
)  # fmt: skip


def parse_events(raw: dict[str, Any], place: Place) -> Clause:
    """Read one clause that begins with `table`."""
    rows = parse_rows(raw, place)
    table = TABLES[rows.table]
    distinct = raw.get("distinct")
    if distinct not in (None, "code", "code_list", "event_date") or (distinct == "code" and "code" not in table.names):
        place.at("distinct").refuse("it is nothing that can be told apart", "Use code, code_list or event_date")
    at_least = parse_whole(raw.get("at_least", 1), place.at("at_least"), 1)
    if distinct and at_least == 1:
        place.at("distinct").refuse("it says nothing without at_least", "Add at_least = 2 or more")
    if "total" in raw and "at_least" in raw:
        place.at("total").refuse("it cannot stand with at_least", "Drop one, or join two clauses with all")

    def events(codes: tuple[str, ...]) -> Events:
        return Events(
            table=table.name,
            codes=codes,
            where=rows.where,
            where_not=rows.where_not,
            within=_period("within", raw, place),
            begun_at_least=_period("begun_at_least", raw, place),
            season=_season(raw["in_season"], place.at("in_season")) if "in_season" in raw else None,
            from_age=_age("from_age", raw, place),
            to_age=_age("to_age", raw, place),
            active=_flag("active", "end_date", raw, table, place),
            value=_bounds(raw["value"], table, place.at("value")) if "value" in raw else None,
            latest=_flag("latest", "event_date", raw, table, place),
            without_before=_period("without_before", raw, place),
            follow=_follow(raw, place),
            at_least=1 if distinct == "code_list" else at_least,
            distinct=None if distinct == "code_list" else cast("Literal['code', 'event_date'] | None", distinct),
            total=_total(raw["total"], table, place.at("total")) if "total" in raw else None,
        )

    if distinct != "code_list":
        return events(rows.codes)
    if at_least > len(rows.codes):
        place.at("at_least").refuse("it is more than the code lists there are", "Lower it or name more code lists")
    return AtLeast(at_least, tuple(events((name,)) for name in rows.codes))


def parse_rows(raw: dict[str, Any], place: Place) -> Events:
    """Read which rows of which table are looked at."""
    table = TABLES.get(raw["table"]) if isinstance(raw["table"], str) else None
    dated = [name for name, known in TABLES.items() if "event_date" in known.names]
    if table is None or table.name not in dated:
        place.at("table").refuse("there is no such table of events", f"Use one of {', '.join(dated)}")
    return Events(
        table=table.name,
        codes=_codes(raw["codes"], table, place.at("codes")) if "codes" in raw else (),
        where=_conditions(raw.get("where", {}), table, place.at("where")),
        where_not=_conditions(raw.get("where_not", {}), table, place.at("where_not")),
    )


def _period(key: str, raw: dict[str, Any], place: Place) -> Period | None:
    return parse_period(raw[key], place.at(key)) if key in raw else None


def _age(key: str, raw: dict[str, Any], place: Place) -> Period | None:
    found = _period(key, raw, place)
    if found and found.unit != "months":
        place.at(key).refuse("an age is counted in months or years", "Correct it")
    return found


def _flag(key: str, column: str, raw: dict[str, Any], table: Table, place: Place) -> bool:
    found = raw.get(key, False)
    if not isinstance(found, bool) or (found and column not in table.names):
        place.at(key).refuse(f"it must be true or false, and the table must have an {column}", "Correct it")
    return found


def _bounds(raw: Any, table: Table, place: Place) -> Bounds:
    if "value" not in table.names:
        place.refuse(f"{table.name} has no values", "Use it with measurement")
    if not isinstance(raw, dict) or not raw:
        place.refuse("a value needs its bounds", "Write { from = 75 } or { below = 1.8 }; `from` is in")
    keys(raw, ("from", "below"), place)
    least, below = (parse_number(raw[key], place.at(key)) if key in raw else None for key in ("from", "below"))
    return Bounds(least, below)


def _total(raw: Any, table: Table, place: Place) -> tuple[str, int]:
    columns = [column.name for column in table.platform_columns if column.kind is Kind.INTEGER]
    if not isinstance(raw, dict) or len(raw) != 1 or not set(raw) <= set(columns):
        place.refuse(
            f"it must be one column of whole numbers of {table.name}", f"Use {', '.join(columns) or 'at_least'}"
        )
    ((column, least),) = raw.items()
    return column, parse_whole(least, place.at(column), 1)


def _season(raw: Any, place: Place) -> Season:
    if not isinstance(raw, dict) or set(raw) != {"from", "to"}:
        place.refuse("a season needs its first and its last day", 'Write { from = "10-01", to = "03-31" }')
    return Season(_day_of_year(raw["from"], place.at("from")), _day_of_year(raw["to"], place.at("to")))


def _day_of_year(raw: Any, place: Place) -> tuple[int, int]:
    found = re.fullmatch(r"(\d\d)-(\d\d)", raw) if isinstance(raw, str) else None
    month, day = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(2023, month)[1]:
        place.refuse("it is not a day of every year", 'Write month and day: "10-01"')
    return month, day


def _follow(raw: dict[str, Any], place: Place) -> Follow | None:
    named = [key for key in ("followed_by", "not_followed_by") if key in raw]
    if not named:
        return None
    key = named[0]
    inner, follow = place.at(key), raw[key]
    if len(named) > 1:
        inner.refuse("it cannot stand with not_followed_by", "Join two clauses with all")
    if not isinstance(follow, dict) or not {"from", "to", "any"} <= set(follow):
        inner.refuse("the days or the events are missing", 'Write { from = "10 days", to = "56 days", any = [...] }')
    keys(follow, ("from", "to", "any"), inner)
    rows, parts = follow["any"], inner.at("any")
    if not isinstance(rows, list) or not rows:
        parts.refuse("it must be a list of events", 'Write any = [{ table = "contact" }]')
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or "table" not in row:
            parts.at(number).refuse("it names no table", 'Write { table = "contact" }')
        keys(row, ("table", *ROW_KEYS), parts.at(number))
        found.append(parse_rows(row, parts.at(number)))
    start = parse_period(follow["from"], inner.at("from"), least=0)
    return Follow(tuple(found), start, parse_period(follow["to"], inner.at("to")), wanted=key == "followed_by")


def _codes(raw: Any, table: Table, place: Place) -> tuple[str, ...]:
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not names:
        place.refuse("it names no code list", 'Write codes = ["name"], a file of schemas/codelists')
    systems = table.column("code_system").terms if "code_system" in table.names else ()
    for name in names:
        codelist = place.codelists.get(name) if isinstance(name, str) else None
        if codelist is None:
            place.refuse("there is no such code list", f"Use one of {', '.join(sorted(place.codelists))}, or add it")
        if not set(codelist.codes) & set(systems):
            place.refuse(f"no code of {name} can stand in {table.name}", f"Add codes of {', '.join(systems) or 'none'}")
    if len(set(names)) < len(names):
        place.refuse("a code list stands twice", "Drop one")
    return tuple(sorted(names))


def _conditions(raw: Any, table: Table, place: Place) -> Conditions:
    if not isinstance(raw, dict):
        place.refuse("conditions must be a table", 'Write { column = "value" }')
    columns = [c for c in table.platform_columns if c.kind is Kind.CODE and c.name not in ("code", "code_system")]
    conditions = {}
    for name in sorted(raw):
        column = next((column for column in columns if column.name == name), None)
        if column is None:
            known = ", ".join(column.name for column in columns)
            place.at(name).refuse(f"{table.name} has no such column of terms", f"Use one of {known}")
        conditions[name] = parse_values(raw[name], place.at(name))
        if any(isinstance(value, bool) for value in conditions[name]):
            place.at(name).refuse("the values must be texts", "Quote them")
        if column.terms and not set(conditions[name]) <= set(column.terms):
            place.at(name).refuse("the term is unknown", f"Use {', '.join(column.terms)}")
        if column.known and not set(conditions[name]) <= set(column.known):
            mend = f"Use {', '.join(column.known)}, or add it to schemas/services.py"
            place.at(name).refuse("the value is not among those known", mend)
    return tuple(conditions.items())

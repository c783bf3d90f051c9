"""Invented rows for the controller's tests."""

from datetime import date

import polars as pl

CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def identity_code(day: date, number: int = 900, sign: str = "A") -> str:
    """A test code (individual number 900 to 999) for a day of birth."""
    start = f"{day:%d%m%y}"
    return f"{start}{sign}{number}{CHECK[int(f'{start}{number}') % 31]}"


def persons(count: int, **columns: object) -> pl.DataFrame:
    """Valid persons, one a day of 2010 and on; `columns` overrides whole columns."""
    days = [date.fromordinal(date(2010, 1, 1).toordinal() + offset) for offset in range(count)]
    base = {
        "person_id": [identity_code(day) for day in days],
        "birth_date": days,
        "sex": ["female", "male"] * (count // 2) + ["female"] * (count % 2),
        "given_names": [f"Aanu{offset}" for offset in range(count)],
        "phone": [f"+358 457 000 {offset:04d}" for offset in range(count)],
    }
    return pl.DataFrame(base).with_columns(
        **{name: pl.Series(values) if isinstance(values, list) else pl.lit(values) for name, values in columns.items()}
    )


def diagnoses(person_ids: list[str | None], **columns: object) -> pl.DataFrame:
    """One diagnosis a person, valid unless `columns` says otherwise."""
    base = pl.DataFrame({"person_id": pl.Series(person_ids, dtype=pl.String)}).with_columns(
        code_system=pl.lit("icd10"), code=pl.lit("E11.9"), event_date=pl.lit(date(2020, 5, 17))
    )
    return base.with_columns(**{name: pl.lit(value) for name, value in columns.items()})

"""Which day it is where the city is, and which month has ended there."""

from datetime import date, datetime, timedelta
from typing import Annotated

from pydantic import Field

from flows.settings import CITY

DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"
Day = Annotated[date | None, Field(json_schema_extra={"pattern": DAY})]
"""A flow's parameter. When a run is asked for, Prefect checks the pattern, and not whether a text is a date."""


def today(now: datetime | None = None) -> date:
    """The day it is in the city."""
    return (now or datetime.now(CITY)).astimezone(CITY).date()


def last_month_end(day: date) -> date:
    """The last day of the last month that has ended on or before a day."""
    following = day + timedelta(days=1)
    return day if following.day == 1 else day.replace(day=1) - timedelta(days=1)

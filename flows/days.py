"""Which day it is where the city is, and which month has ended there."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

CITY = ZoneInfo("Europe/Helsinki")


def today(now: datetime | None = None) -> date:
    """The day it is in the city."""
    return (now or datetime.now(CITY)).astimezone(CITY).date()


def last_month_end(day: date) -> date:
    """The last day of the last month that has ended on or before a day."""
    following = day + timedelta(days=1)
    return day if following.day == 1 else day.replace(day=1) - timedelta(days=1)

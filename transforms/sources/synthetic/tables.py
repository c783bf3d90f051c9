"""All tables of a block, from its plan."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.table import PERSON_ID, RECORD_ID
from transforms.sources.synthetic import bookings, contacts, monitoring, treatment
from transforms.sources.synthetic import vocabulary as words
from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.dirt import missing_districts, spoil
from transforms.sources.synthetic.draws import NEVER, Days, Flags, Places, recorded
from transforms.sources.synthetic.identity import OID_PREFIX, wrong_check
from transforms.sources.synthetic.late import late_care
from transforms.sources.synthetic.planning import LONGEST_LOOK_BACK
from transforms.sources.synthetic.population import Codes
from transforms.sources.synthetic.register import residences
from transforms.sources.synthetic.requests import contact_requests
from transforms.sources.synthetic.rounds import earliest, rounds_of
from transforms.sources.synthetic.rows import Rows, dates, frame_of, joined
from transforms.sources.synthetic.truth import gap_truth

_NOTES = ("Soitettu, ei vastausta.", "Käynti toteutunut.", "Ohjattu jatkohoitoon.", "Uusinut reseptit.")
_NOTED = 0.03
"""Share of contacts with free text; a part of it names the person, as free text does."""

FAULT_SCHEMA = {"table": pl.String(), "kind": pl.String(), PERSON_ID: pl.String(), RECORD_ID: pl.String()}
"""One row per fault of a row; `person_id` as it stands there, `record_id` empty in the table of persons."""
LATE_SCHEMA = {"table": pl.String(), PERSON_ID: pl.String(), "event_date": pl.Date(), "recorded_date": pl.Date()}
"""One row per event that had taken place by the as-of date and was recorded after it, so that it is not in the feed."""


@dataclass(frozen=True)
class BlockTables:
    """The frames of a block by table, and the truth about them."""

    frames: dict[str, pl.DataFrame]
    faults: list[pl.DataFrame]
    late: list[pl.DataFrame]
    gaps: pl.DataFrame


def tables_of(block: Block, codes: Codes, areas: tuple[str, ...]) -> BlockTables:
    """Draw every table but the persons."""
    former = codes.former.fill_null(codes.own)
    spelt = pl.concat([codes.own, OID_PREFIX + codes.own, wrong_check(codes.own), former, codes.nobodys]).rechunk()
    vocabularies = _VOCABULARIES | {
        "area": words.Vocabulary(pl.DataFrame({"area_code": [*areas, None]}, schema={"area_code": pl.String}), {}),
        "note": words.Vocabulary(_notes(codes.own), {}),
    }
    homes, told_late = residences(block, len(areas))
    frames: dict[str, pl.DataFrame] = {}
    faults: list[pl.DataFrame] = []
    late = [_late("measurement", late_care(block), codes.own)]
    for table, drawn in (_rows(block) | {"residence": homes}).items():
        in_time = drawn.days["recorded_date"] <= block.as_of
        late.append(_late(table, drawn.take(~in_time), codes.own))
        spoilt = spoil(block, table, drawn if in_time.all() else drawn.take(in_time))
        frame = frame_of(spoilt.rows, table, spelt, vocabularies, block.number)
        found: dict[str, NDArray[np.integer]] = dict(spoilt.faults)
        if table == "residence" and block.is_dirty:
            found |= {"retroactive_move": told_late, "missing_district": _nowhere(block, homes)}
        faults += [_faults(table, kind, frame, places) for kind, places in found.items()]
        frames[table] = pl.concat([frame, frame[spoilt.duplicates]]) if len(spoilt.duplicates) else frame
    return BlockTables(frames, faults, late, gap_truth(block, codes.own))


def _nowhere(block: Block, homes: Rows) -> Places:
    """Places of the rows from which the district was taken: the last residence of each such person."""
    return np.flatnonzero(missing_districts(block)[homes.person[: block.size]]).astype(np.int32)


def _faults(table: str, kind: str, frame: pl.DataFrame, places: NDArray[np.integer]) -> pl.DataFrame:
    found = frame.select(PERSON_ID, RECORD_ID)[places]
    return found.select(pl.lit(table).alias("table"), pl.lit(kind).alias("kind"), PERSON_ID, RECORD_ID)


def _late(table: str, rows: Rows, codes: pl.Series) -> pl.DataFrame:
    first = next(iter(rows.days.values()))
    return pl.DataFrame(
        {
            "table": pl.Series([table], dtype=pl.String).new_from_index(0, len(rows)),
            PERSON_ID: codes.gather(rows.person),
            "event_date": dates(first),
            "recorded_date": dates(rows.days["recorded_date"]),
        }
    )


def _rows(block: Block) -> dict[str, Rows]:
    rounds = rounds_of(block)
    booked = bookings.appointments(block)
    kept = booked.take(_in_touch(block, booked))
    contact = joined(
        [
            contacts.everyday_contacts(block),
            contacts.follow_up_contacts(block),
            contacts.old_age_contacts(block),
            contacts.child_clinic_contacts(block),
            contacts.home_care_contacts(block),
            monitoring.round_contacts(block, rounds),
            bookings.appointment_contacts(kept),
        ]
    )
    automated = contact.words["contact"] == words.CONTACT["automated_message"]
    contact = contacts.as_planned(block, contact.take(_in_touch(block, contact) | automated))
    measured = monitoring.measurements(block, rounds)
    followed = bookings.round_appointments(block, rounds)
    events = {
        "appointment": (joined([kept, followed.take(_in_touch(block, followed))]), block.people.first),
        "contact": (_with_notes(block, contact), block.first),
        "contact_request": (contact_requests(block), block.first),
        "diagnosis": (treatment.diagnoses(block), block.people.birth),
        "measurement": (measured.take(_in_touch(block, measured)), earliest(block, LONGEST_LOOK_BACK)),
        "medication": (treatment.medicines(block), block.first),
        "vaccination": (treatment.vaccinations(block), block.people.birth),
        "service_period": (treatment.service_periods(block), block.people.first),
        "restriction": (treatment.restrictions(block), block.people.first),
    }
    return {table: _recorded(block, table, _within(block, table, *lived)) for table, lived in events.items()}


def _within(block: Block, table: str, rows: Rows, first: Days) -> Rows:
    """Rows on days that the person lived to see: here, or anywhere for what is told at the first visit."""
    day = rows.days["event_date"]
    ahead = (table == "appointment") & block.is_resident[rows.person]
    return rows.take((day >= first[rows.person]) & ((day <= block.last[rows.person]) | ahead))


def _in_touch(block: Block, rows: Rows) -> Flags:
    return ~block.is_silent(rows.person, rows.days["event_date"])


def _recorded(block: Block, table: str, rows: Rows) -> Rows:
    """Add when the source learnt of each row: of its last news, an answer or an end."""
    learnt = rows.days["event_date"]
    if table == "appointment":
        learnt = np.where(rows.days["status_date"] < NEVER, rows.days["status_date"], rows.days["booked_date"])
    elif table in ("contact_request", "service_period", "diagnosis", "restriction"):
        news = rows.days["answered_date" if table == "contact_request" else "end_date"]
        learnt = np.where(news <= block.as_of, news, learnt)
    days = recorded(block.rng(f"recording of {table}"), learnt, is_dirty=block.is_dirty)
    if table == "restriction":  # the authority's own register: told at once, and never after the fact
        days = np.minimum(days, block.as_of)
    return Rows(rows.person, rows.days | {"recorded_date": days}, rows.words, rows.numbers)


def _with_notes(block: Block, rows: Rows) -> Rows:
    rng = block.rng("notes")
    note = np.zeros(len(rows), dtype=np.int32)
    noted = np.flatnonzero(rng.random(len(rows)) < _NOTED)
    names_person = rng.random(len(noted)) < 0.2
    plain = 1 + rng.integers(0, len(_NOTES), len(noted), dtype=np.int32)
    note[noted] = np.where(names_person, 1 + len(_NOTES) + rows.person[noted], plain)
    return rows.with_words(note=note)


def _notes(codes: pl.Series) -> pl.DataFrame:
    plain = pl.Series("note", [None, *_NOTES], dtype=pl.String)
    return pl.concat([plain, ("Asiakas " + codes + " soitti.").alias("note")]).rechunk().to_frame()


_VOCABULARIES = {
    "contact": words.CONTACT,
    "measurement": words.MEASUREMENT,
    "value": words.VALUE,
    "diagnosis": words.DIAGNOSIS,
    "medication": words.MEDICATION,
    "vaccine": words.VACCINE,
    "vaccination_status": words.VACCINATION_STATUS,
    "service": words.SERVICE,
    "restriction": words.RESTRICTION,
    "request": words.REQUEST,
    "outcome": words.OUTCOME,
    "status": words.STATUS,
    "reason": words.REASON,
    "specialty": words.SPECIALTY,
    "address": words.ADDRESS,
}
"""Vocabulary of each word column of `Rows`."""

"""All tables of a block, from its plan."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from transforms.sources.synthetic import bookings, contacts, monitoring, treatment
from transforms.sources.synthetic import vocabulary as words
from transforms.sources.synthetic.block import OUT_OF_TOUCH_DAYS, Block
from transforms.sources.synthetic.dirt import spoil
from transforms.sources.synthetic.draws import NEVER, Days, Flags, recorded
from transforms.sources.synthetic.identity import OID_PREFIX, wrong_check
from transforms.sources.synthetic.register import residences
from transforms.sources.synthetic.rows import Rows, frame_of, joined
from transforms.sources.synthetic.truth import gap_truth

_NOTES = ("Soitettu, ei vastausta.", "Käynti toteutunut.", "Ohjattu jatkohoitoon.", "Uusinut reseptit.")
_NOTED = 0.03
"""Share of contacts with free text; a part of it names the person, as free text does."""


@dataclass(frozen=True)
class BlockTables:
    """The frames of a block by table, how many faults of each kind they have, and the gaps that were planned."""

    frames: dict[str, pl.DataFrame]
    dirt: dict[tuple[str, str], int]
    gaps: pl.DataFrame


def tables_of(block: Block, codes: pl.Series, strangers: pl.Series, areas: tuple[str, ...]) -> BlockTables:
    """Draw every table but the persons."""
    spelt = pl.concat([codes, OID_PREFIX + codes, wrong_check(codes), strangers]).rechunk()
    vocabularies = _VOCABULARIES | {
        "area": words.Vocabulary(pl.DataFrame({"area_code": [*areas, None]}, schema={"area_code": pl.String}), {}),
        "note": words.Vocabulary(_notes(codes), {}),
    }
    rows = _rows(block)
    frames: dict[str, pl.DataFrame] = {}
    dirt: dict[tuple[str, str], int] = {}
    for table, clean in (rows | {"residence": residences(block, len(areas))}).items():
        spoilt = spoil(block, table, clean)
        frame = frame_of(spoilt.rows, table, spelt, vocabularies, block.number)
        frames[table] = pl.concat([frame, frame[spoilt.duplicates]])
        dirt |= {(table, kind): count for kind, count in spoilt.counts.items()}
    return BlockTables(frames, dirt, gap_truth(block, codes, rows["restriction"], rows["vaccination"]))


def _rows(block: Block) -> dict[str, Rows]:
    rounds = monitoring.rounds_of(block)
    booked = bookings.appointments(block)
    kept = _in_touch(block, booked)
    contact = joined(
        [
            contacts.everyday_contacts(block),
            contacts.follow_up_contacts(block),
            contacts.child_clinic_contacts(block),
            contacts.home_care_contacts(block),
            monitoring.round_contacts(block, rounds),
            bookings.appointment_contacts(booked.take(kept)),
        ]
    )
    automated = contact.words["contact"] == words.CONTACT["automated_message"]
    contact = contact.take(_in_touch(block, contact) | automated)
    measured = monitoring.measurements(block, rounds)
    events = {
        "appointment": (booked.take(kept), block.people.first),
        "contact": (_with_notes(block, contact), block.first),
        "contact_request": (bookings.contact_requests(block), block.first),
        "diagnosis": (treatment.diagnoses(block), block.people.birth),
        "measurement": (measured.take(_in_touch(block, measured)), block.first),
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
    day = rows.days["event_date"]
    lately: Flags = (day > block.as_of - OUT_OF_TOUCH_DAYS) & block.is_out_of_touch[rows.person]
    return ~lately


def _recorded(block: Block, table: str, rows: Rows) -> Rows:
    """Add when the source learnt of each row: of its last news, an answer or an end."""
    learnt = rows.days["event_date"]
    if table == "appointment":
        learnt = np.where(rows.days["status_date"] < NEVER, rows.days["status_date"], rows.days["booked_date"])
    elif table in ("contact_request", "service_period"):
        news = rows.days["answered_date" if table == "contact_request" else "end_date"]
        learnt = np.where(news < NEVER, news, learnt)
    days = rows.days | {"recorded_date": recorded(block.rng(f"recording of {table}"), learnt, block.as_of)}
    return Rows(rows.person, days, rows.words, rows.numbers)


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

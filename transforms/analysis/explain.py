"""A definition in words and as the SELECT that it becomes, and the check of definitions before they are used."""

import textwrap
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from schemas.areas import load_areas
from schemas.codelists import LANGUAGES, CodeList, load_codelists
from schemas.errors import UsageRefused
from schemas.indicators import Deadline, Indicator, Selected, load_indicators
from transforms.analysis.compiling import compile_indicator
from transforms.analysis.evaluation import evaluate
from transforms.analysis.selects import select_text

_HEADINGS = {
    "fi": ("versio", "Laskennasta jätetään pois", "Joustoaika", "Lähde", "Koodistot", "SQL"),
    "sv": ("version", "Utelämnas ur beräkningen", "Respittid", "Källa", "Kodlistor", "SQL"),
    "en": ("version", "Left out of the count", "Grace period", "Source", "Code lists", "SQL"),
}
_TARGET_GROUP = {"fi": "Kohdejoukko", "sv": "Målgrupp", "en": "Target group"}
_PARTS = {"fi": "Osat", "sv": "Delar", "en": "Parts"}
_COUNTED_FROM = {"fi": "Lasketaan näistä", "sv": "Räknas utifrån", "en": "Counted from"}
_DEADLINES = {"fi": "Määräajat", "sv": "Tidsfrister", "en": "Deadlines"}
_DUE = {
    "fi": ("samana arkipäivänä", "1 arkipäivä", "{} arkipäivää"),
    "sv": ("samma vardag", "1 vardag", "{} vardagar"),
    "en": ("the same working day", "1 working day", "{} working days"),
}
_UNITS = {
    "fi": {"days": ("päivä", "päivää"), "months": ("kuukausi", "kuukautta")},
    "sv": {"days": ("dag", "dagar"), "months": ("månad", "månader")},
    "en": {"days": ("day", "days"), "months": ("month", "months")},
}


def explain(indicator: Indicator, language: str, codelists: Mapping[str, CodeList] | None = None) -> str:
    """The definition in words of fi, sv or en, its code lists, and the SQL that it becomes.

    Raises UsageRefused where the language is another.
    """
    if language not in LANGUAGES:
        raise UsageRefused("the language is unknown", f"Use one of {', '.join(LANGUAGES)}")
    known = codelists or load_codelists()
    version, left_out, grace, source, lists, sql = _HEADINGS[language]
    lines = [f"{indicator.id} {indicator.title[language]} ({version} {indicator.version})", ""]
    group = f"{_TARGET_GROUP[language]}: {indicator.target_group[language]}"
    for text in (indicator.description[language], group):
        lines += [textwrap.fill(text, 100, break_on_hyphens=False), ""]
    lines += [f"{left_out}:"]
    lines += [f"  {number}. {found.label[language]}" for number, found in enumerate(indicator.exclusions, start=1)]
    lines += [""]
    lines += _section(_PARTS[language], [part.label[language] for part in indicator.parts])
    lines += _section(_COUNTED_FROM[language], [f"{part.title[language]} ({part.id})" for part in indicator.components])
    lines += _section(_DEADLINES[language], [_deadline(rule, language) for rule in indicator.deadlines])
    if indicator.grace:
        one, many = _UNITS[language][indicator.grace.unit]
        lines += [f"{grace}: {indicator.grace.count} {one if indicator.grace.count == 1 else many}"]
    lines += [f"{source}: {indicator.source[language]}", ""]
    lines += _section(lists, [_codes(known[name], language) for name in indicator.codelists])
    lines += [f"{sql}:", compile_indicator(indicator)]
    for name in dict.fromkeys(leaf.name for leaf in indicator.leaves if isinstance(leaf, Selected)):
        lines += ["", f"-- select {name}", select_text(name).strip()]
    return "\n".join(lines) + "\n"


def _codes(codelist: CodeList, language: str) -> str:
    codes = "; ".join(f"{system} {', '.join(codes)}" for system, codes in codelist.codes.items())
    return f"{codelist.title[language]} ({codelist.name}): {codes}"


def _section(heading: str, items: list[str]) -> list[str]:
    return [f"{heading}:", *(f"  {item}" for item in items), ""] if items else []


def _deadline(rule: Deadline, language: str) -> str:
    same, one, many = _DUE[language]
    length = same if not rule.working_days else one if rule.working_days == 1 else many.format(rule.working_days)
    return f"{rule.start or ''}–{rule.end or ''}: {length}"


def check_indicators(folder: Path | None = None) -> dict[str, Indicator]:
    """Read all definitions of a folder, the project's own by default, and run them over an empty lake.

    Raises UsageRefused with the file, the place in it and the mend, at the first thing that is wrong.
    """
    codelists = load_codelists()
    if folder is not None and not folder.is_dir():
        raise UsageRefused("there is no such folder", "Give the folder of the definitions")
    found = load_indicators(folder, codelists)
    if not found:
        raise UsageRefused("the folder holds no definition", "Give one with a TOML file for each indicator")
    for indicator in found.values():
        try:
            evaluate({}, [indicator], [date(2000, 1, 1)], [0], load_areas(), codelists)
        except UsageRefused as refusal:
            raise UsageRefused(
                refusal.rule, refusal.next_step, table=f"{indicator.id}.toml", column=refusal.column
            ) from None
    return found

"""A definition in words and as the SELECT that it becomes, and the check of definitions before they are used."""

import textwrap
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from schemas.areas import load_areas
from schemas.codelists import LANGUAGES, CodeList, load_codelists
from schemas.errors import UsageRefused
from schemas.indicators import Indicator, Selected, load_indicators
from transforms.analysis.compiling import compile_indicator
from transforms.analysis.evaluation import evaluate
from transforms.analysis.selects import select_text

_HEADINGS = {
    "fi": ("versio", "Laskennasta jätetään pois", "Joustoaika", "Lähde", "Koodistot", "SQL"),
    "sv": ("version", "Utelämnas ur beräkningen", "Respittid", "Källa", "Kodlistor", "SQL"),
    "en": ("version", "Left out of the count", "Grace period", "Source", "Code lists", "SQL"),
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
    lines += [textwrap.fill(indicator.description[language], 100, break_on_hyphens=False), "", f"{left_out}:"]
    lines += [f"  {number}. {found.label[language]}" for number, found in enumerate(indicator.exclusions, start=1)]
    lines += [""]
    if indicator.grace:
        one, many = _UNITS[language][indicator.grace.unit]
        lines += [f"{grace}: {indicator.grace.count} {one if indicator.grace.count == 1 else many}"]
    lines += [f"{source}: {indicator.source}", "", f"{lists}:"]
    for name in indicator.codelists:
        codes = "; ".join(f"{system} {', '.join(codes)}" for system, codes in known[name].codes.items())
        lines += [f"  {known[name].title[language]} ({name}): {codes}"]
    lines += ["", f"{sql}:", compile_indicator(indicator)]
    for name in dict.fromkeys(leaf.name for leaf in indicator.leaves if isinstance(leaf, Selected)):
        lines += ["", f"-- select {name}", select_text(name).strip()]
    return "\n".join(lines) + "\n"


def check_indicators(folder: Path | None = None) -> dict[str, Indicator]:
    """Read all definitions of a folder, the project's own by default, and run them over an empty lake.

    Raises UsageRefused with the file, the place in it and the mend, at the first thing that is wrong.
    """
    codelists = load_codelists()
    found = load_indicators(folder, codelists)
    for indicator in found.values():
        try:
            evaluate({}, [indicator], [date(2000, 1, 1)], [0], load_areas(), codelists)
        except UsageRefused as refusal:
            raise UsageRefused(
                refusal.rule, refusal.next_step, table=f"{indicator.id}.toml", column=refusal.column
            ) from None
    return found

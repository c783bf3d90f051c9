import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Explore care gaps")

with app.setup(hide_code=True):
    import os
    from pathlib import Path

    import marimo as mo
    import polars as pl

    from flows.settings import Layout
    from notebooks.parts import charts, figures, views
    from schemas.errors import Refusal
    from schemas.indicators import load_indicators


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Explore care gaps

    One care gap at a time: district by district, with intervals, on a map and over time. **A release** is public.
    **Counts** are not protected: they may show that one person in a small group has a gap. They stay on the platform,
    you say why you look, and every look is written to the audit log with your account.
    """)
    return


@app.cell(hide_code=True)
def _():
    _args = mo.cli_args()
    given = {
        "data": _args.get("data") or os.environ.get("CAREGAP_DATA", "data"),
        "source": _args.get("source"),
        "indicator": _args.get("indicator"),
        "reason": _args.get("reason") or "",
        "language": _args.get("language") or "en",
    }
    return (given,)


@app.cell(hide_code=True)
def _(given):
    layout = Layout(Path(given["data"]))
    indicators = load_indicators()
    folders = figures.releases(layout.published)
    sources = {f"Release {name} (public)": ("release", name) for name in folders}
    sources |= {
        f"Counts as of {day} (not protected, your look is logged)": ("counts", str(day))
        for day in figures.counted_dates(layout)
    }
    mo.stop(
        not sources,
        mo.callout(mo.md("There is nothing here yet. Run `make run`, or give `-- --data DIR`."), kind="warn"),
    )
    return folders, indicators, layout, sources


@app.cell(hide_code=True)
def _(given, indicators, sources):
    wanted = next((words for words, found in sources.items() if given["source"] in (None, found[1], found[0])), None)
    titles = {one.title[given["language"]]: name for name, one in indicators.items()}
    first = next((title for title, name in titles.items() if name == given["indicator"]), min(titles))
    ask = (
        mo.md("**Figures** {source}\n\n**Indicator** {indicator}\n\n**Why do you look?** (only for counts) {reason}")
        .batch(
            source=mo.ui.dropdown(sources, value=wanted, full_width=True),
            indicator=mo.ui.dropdown(titles, value=first, full_width=True),
            reason=mo.ui.text(value=given["reason"], full_width=True),
        )
        .form(submit_button_label="Show", bordered=True)
    )
    ask
    return (ask,)


@app.cell(hide_code=True)
def _(ask, given, sources):
    # As a script, or where the command line said it all, there is nobody to press the button.
    by_command = {
        "source": next((found for found in sources.values() if given["source"] in found), None),
        "indicator": given["indicator"],
        "reason": given["reason"],
    }
    chosen = ask.value or by_command
    mo.stop(chosen["source"] is None or chosen["indicator"] is None, mo.md("Choose above and press **Show**."))
    return (chosen,)


@app.cell(hide_code=True)
def _(chosen, folders, layout):
    kind, which = chosen["source"]
    try:
        if kind == "counts":
            from datetime import date

            found = figures.unprotected(layout, chosen["indicator"], date.fromisoformat(which), chosen["reason"])
            areas = pl.read_parquet(layout.counts / which / "areas.parquet")
        else:
            figures.manifest_of(folders[which])  # refuses a release whose files are not those of its manifest
            found, areas = figures.published(folders[which])
            found = found.filter(pl.col("indicator") == chosen["indicator"])
        refusal = None
    except Refusal as caught:
        found, areas, refusal = None, None, caught
    mo.stop(refusal is not None, views.refused(refusal))
    mo.stop(found.is_empty(), mo.callout(mo.md("This release does not have the indicator."), kind="warn"))
    return areas, found, kind


@app.cell(hide_code=True)
def _(areas, found, given, kind):
    language = views.language_choice(given["language"])
    days = [str(day) for day in found["as_of"].unique().sort(descending=True)]
    day = mo.ui.dropdown(days, value=days[0], label="Date")
    level = mo.ui.dropdown(
        {"Districts": "district", "Major districts": "major", "Whole city": "city", "All areas": None},
        value="Districts",
        label="Areas",
    )
    sex = mo.ui.dropdown(views.sexes(found["sex"], given["language"]), value="All", label="Sex")
    age = mo.ui.dropdown(views.ages(found["age_band"]), value="All", label="Age")
    place = mo.ui.dropdown(
        {name: code for code, name in figures.area_names(areas, given["language"]).items()},
        value=figures.area_names(areas, given["language"])["*"],
        label="Area for the trend",
        searchable=True,
    )
    mo.vstack(
        [
            mo.callout(mo.md("**Not protected.** Do not copy, send or publish these figures."), kind="danger")
            if kind == "counts"
            else mo.callout(mo.md("Public figures. `…` is hidden."), kind="neutral"),
            mo.hstack([language, day, level, sex, age, place], wrap=True, justify="start"),
        ]
    )
    return age, day, language, level, place, sex


@app.cell(hide_code=True)
def _(age, areas, chosen, day, found, indicators, language, level, sex):
    on_day = found.filter(
        (pl.col("as_of").cast(pl.String) == day.value)
        & (pl.col("sex") == sex.value)
        & (pl.col("age_band") == age.value)
    )
    rows = on_day.filter(pl.col("level") == level.value) if level.value else on_day
    table = figures.shown(rows, areas, language.value)
    # Pictures and sentence are of one group: both sexes and all ages, or those chosen.
    whole = on_day.with_columns(sex=pl.lit("*"), age_band=pl.lit("*"))
    said = figures.sentence(whole, figures.area_names(areas, language.value))
    indicator = indicators[chosen["indicator"]]
    mo.md(f"## {indicator.title[language.value]}\n\n{indicator.description[language.value]}\n\n{said}")
    return said, table, whole


@app.cell(hide_code=True)
def _(areas, found, kind, language, place, said, sex, age, table, whole):
    over_time = found.filter(
        (pl.col("area_code") == place.value) & (pl.col("sex") == sex.value) & (pl.col("age_band") == age.value)
    ).sort("as_of")
    how = f"Rate over {over_time.height} dates; the table below has the same figures."
    mo.ui.tabs(
        {
            # Counts that are not protected are not offered for download; `caregap counts` gives them, logged.
            "Table": views.table(table, "Eligible persons, care gaps and their share", download=kind == "release"),
            "Map": charts.tile_map(whole, areas, language.value, said),
            "Intervals": charts.bars(whole, areas, language.value, said),
            "Funnel": charts.funnel(whole, areas, language.value, said),
            "Trend": mo.vstack(
                [
                    charts.trend(over_time, how),
                    mo.md(how),
                    views.table(
                        figures.shown(over_time, areas, language.value),
                        "The trend as a table",
                        download=kind == "release",
                    ),
                ]
            ),
        }
    )
    return


if __name__ == "__main__":
    app.run()

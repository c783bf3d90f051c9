import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Read a release")

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
    # Read a release

    Everything here comes from the public files of published releases: what anybody may see. `…` is a figure subject to
    secrecy; it does not mean that it is small. `–` stands where nobody is eligible.
    """)
    return


@app.cell(hide_code=True)
def _():
    _args = mo.cli_args()
    _data = _args.get("data") or os.environ.get("CAREGAP_DATA", "data")
    given = {
        "data": _data,
        "published": _args.get("published") or str(Layout(Path(_data)).published),
        "release": _args.get("release"),
        "indicator": _args.get("indicator"),
        "language": _args.get("language") or "en",
    }
    return (given,)


@app.cell(hide_code=True)
def _(given):
    folders = figures.releases(Path(given["published"]))
    mo.stop(
        not folders,
        mo.callout(mo.md("No release here. Run `make run`, or give `-- --published DIR`."), kind="warn"),
    )
    release = mo.ui.dropdown(list(folders), value=given["release"] or next(iter(folders)), label="Release")
    language = views.language_choice(given["language"])
    mo.hstack([release, language], justify="start")
    return folders, language, release


@app.cell(hide_code=True)
def _(folders, given, release):
    try:
        proof, broken = figures.verified(Layout(Path(given["data"])), folders[release.value]), None
    except Refusal as _refusal:
        proof, broken = "", _refusal
    mo.stop(broken is not None, views.refused(broken, "Not verified. Do not use this release. "))
    trusted = folders[release.value]  # what follows reads this, and so runs only where nothing was found wrong
    mo.callout(mo.md("**Checked**\n\n" + "\n\n".join(proof.splitlines())), kind="success")
    return (trusted,)


@app.cell(hide_code=True)
def _(language, trusted):
    found, areas = figures.published(trusted)
    latest = found.filter(pl.col("as_of") == found["as_of"].max())
    known = load_indicators()
    titles = {
        name: known[name].title[language.value] if name in known else name for name in latest["indicator"].unique()
    }
    city = latest.filter(pl.all_horizontal(pl.col("area_code", "sex", "age_band") == "*")).sort(
        "gap", descending=True, nulls_last=True
    )
    gaps = figures.shown(city, areas, language.value).select("Eligible", "Care gaps", "Rate, %", "95 % interval")
    gaps = gaps.with_columns(city["indicator"].replace_strict(titles).alias("Care gap")).select(
        "Care gap", pl.exclude("Care gap")
    )
    mo.vstack(
        [
            mo.md(f"## The city's gaps as of {latest['as_of'].max()}\nBy the number of people who have them."),
            views.table(gaps, "The city's care gaps"),
        ]
    )
    return areas, found, gaps, latest, titles


@app.cell(hide_code=True)
def _(given, titles):
    by_title = {title: name for name, title in sorted(titles.items(), key=lambda item: item[1])}
    indicator = mo.ui.dropdown(
        by_title, value=titles.get(given["indicator"], next(iter(by_title))), label="Indicator", full_width=True
    )
    mo.vstack([mo.md("## One indicator"), indicator])
    return (indicator,)


@app.cell(hide_code=True)
def _(areas, folders, indicator, language, latest):
    one = latest.filter(pl.col("indicator") == indicator.value)
    said = figures.sentence(one, figures.area_names(areas, language.value))
    by_area = one.filter((pl.col("sex") == "*") & (pl.col("age_band") == "*"))
    by_group = one.filter((pl.col("area_code") == "*") & ((pl.col("sex") == "*") | (pl.col("age_band") == "*")))
    over_time = figures.history(folders.values(), indicator.value).filter(
        pl.all_horizontal(pl.col("area_code", "sex", "age_band") == "*")
    )
    how = f"The whole city at {over_time.height} dates, from all releases that were not withdrawn."

    def table(rows, label):
        return views.table(figures.shown(rows, areas, language.value), label)

    mo.vstack(
        [
            mo.md(said),
            mo.ui.tabs(
                {
                    "Districts": table(by_area, "By area"),
                    "Map": charts.tile_map(one, areas, language.value, said),
                    "Funnel": charts.funnel(one, areas, language.value, said),
                    "Sex and age": table(by_group, "The whole city by sex and by age"),
                    "Trend": mo.vstack([charts.trend(over_time, how), mo.md(how), table(over_time, "Trend")]),
                }
            ),
        ]
    )
    return by_area, over_time


@app.cell(hide_code=True)
def _(folders, release):
    others = [name for name in folders if name != release.value]
    mo.stop(not others, mo.md("*There is no other release to compare with.*"))
    other = mo.ui.dropdown(others, value=others[0], label="Compare with")
    mo.vstack([mo.md("## Compare two releases"), other])
    return (other,)


@app.cell(hide_code=True)
def _(areas, folders, indicator, language, latest, other, titles):
    figures.manifest_of(folders[other.value])  # refuses a release whose files are not those of its manifest
    before, _ = figures.published(folders[other.value])
    before = before.filter(pl.col("as_of") == before["as_of"].max())
    first, second = sorted((before, latest), key=lambda rows: rows["as_of"].max())
    change = figures.compared(first, second)
    everybody = pl.all_horizontal(pl.col("sex", "age_band") == "*")
    of_city = change.filter(everybody & (pl.col("area_code") == "*"))
    of_districts = change.filter(everybody & (pl.col("indicator") == indicator.value))
    names = figures.area_names(areas, language.value)

    def in_words(rows, label):
        return views.table(figures.shown_change(rows, names, titles), label)

    mo.vstack(
        [
            mo.md(f"From {first['as_of'].max()} to {second['as_of'].max()}. " + figures.change_sentence(change)),
            in_words(of_city, "The whole city, every indicator"),
            in_words(of_districts, f"{titles[indicator.value]}, by area"),
        ]
    )
    return (change,)


if __name__ == "__main__":
    app.run()

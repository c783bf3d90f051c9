import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Draft an indicator")

with app.setup(hide_code=True):
    import os
    from datetime import date
    from pathlib import Path

    import marimo as mo
    import polars as pl

    from flows.settings import Layout
    from notebooks.parts import charts, drafts, figures, practice, views
    from schemas.errors import Refusal
    from schemas.indicators import load_indicators
    from schemas.policy import load_policy
    from transforms.analysis.explain import explain


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Draft an indicator

    Write who is counted and what closes the gap. The draft is checked as you write, counted on a **practice city**
    whose people and records are generated, and protected as a release would be. Nobody's data is read here. When its
    cases hold, it can be saved: from then on `caregap analyse` counts it.
    """)
    return


@app.cell(hide_code=True)
def _():
    _args = mo.cli_args()
    given = {
        "data": _args.get("data") or os.environ.get("CAREGAP_DATA", "data"),
        "start": _args.get("start") or "diabetes_hba1c_missing",
        "persons": int(_args.get("persons") or 20_000),
        "as_of": str(_args.get("as-of") or "2026-10-31"),
        "years": int(_args.get("years") or 3),
        "definitions": _args.get("definitions"),
        "cases": _args.get("cases"),
    }
    return (given,)


@app.cell(hide_code=True)
def _(given):
    start = mo.ui.dropdown(sorted(load_indicators()), value=given["start"], label="Begin with a copy of")
    language = views.language_choice("en")
    sizes = sorted({5_000, 20_000, 70_000, 200_000, given["persons"]})
    persons = mo.ui.dropdown(
        {f"{size:,} persons": size for size in sizes}, value=f"{given['persons']:,} persons", label="Practice city of"
    )
    mo.hstack([start, language, persons], justify="start", wrap=True)
    return language, persons, start


@app.cell(hide_code=True)
def _(start):
    first_text, first_cases = drafts.example(start.value)
    editor = mo.ui.code_editor(first_text, language="toml", min_height=420, label="Definition")
    mo.vstack([mo.md("## Definition\nGive it an `id` of its own; its file will have that name."), editor])
    return editor, first_cases


@app.cell(hide_code=True)
def _(editor):
    try:
        draft, fault = drafts.read_draft(editor.value), None
        verdict = mo.callout(mo.md(f"**{draft.id}**, version {draft.version}, is well defined."), kind="success")
    except Refusal as refusal:
        draft, fault = None, drafts.in_words(refusal)
        verdict = views.faulty(fault)
    verdict
    return draft, fault


@app.cell(hide_code=True)
def _(draft, language):
    mo.stop(draft is None)
    mo.accordion(
        {
            "In words, and the SQL that it becomes": mo.plain_text(explain(draft, language.value)),
        }
    )
    return


@app.cell(hide_code=True)
def _(given, persons):
    with mo.status.spinner(title="Making the practice city (once; seconds)", remove_on_exit=True):
        try:
            folder = Layout(Path(given["data"])).data / "platform" / "practice"
            day = date.fromisoformat(given["as_of"])
            city, no_city = practice.practice_city(folder, persons.value, given["years"], day), None
        except Refusal as _refusal:
            city, no_city = None, _refusal
    mo.stop(no_city is not None, views.refused(no_city))
    return (city,)


@app.cell(hide_code=True)
def _(city, draft):
    mo.stop(draft is None, mo.md("*Counted when the definition is well defined.*"))
    policy = load_policy()
    counted = drafts.count_draft(draft, city, policy.age_band_starts)
    return counted, policy


@app.cell(hide_code=True)
def _(city, counted, draft, language):
    people = drafts.told(draft, counted.people, language.value)
    names = figures.area_names(city.areas, language.value)
    said = figures.sentence(counted.figures, names)
    everybody = counted.figures.filter((pl.col("sex") == "*") & (pl.col("age_band") == "*"))
    mo.vstack(
        [
            mo.md(
                f"## Population and gap\nIn a generated city of {city.persons:,} people as of {city.as_of}. {said} "
                "The generator plans its own twenty gaps; of another one it says whether the definition counts at all, "
                "not how large the gap would be."
            ),
            views.table(people, "Everybody of the practice city, by status and reason"),
            mo.ui.tabs(
                {
                    "By district": views.table(
                        figures.shown(everybody, city.areas, language.value), "By area, before protection"
                    ),
                    "Map": charts.tile_map(counted.figures, city.areas, language.value, said),
                    "Funnel": charts.funnel(counted.figures, city.areas, language.value, said),
                }
            ),
        ]
    )
    return (people,)


@app.cell(hide_code=True)
def _(city, counted, language, policy):
    try:
        effect, nothing = drafts.suppression(counted.cells, policy.disclosure), None
    except Refusal as _refusal:
        effect, nothing = None, _refusal
    mo.stop(nothing is not None, mo.callout(mo.md(f"**Effect of suppression**: {nothing}"), kind="warn"))
    hidden = effect.unsafe + effect.also
    districts = effect.by_district.select(
        pl.col("area_code")
        .replace_strict(figures.area_names(city.areas, language.value), default=None)
        .fill_null(pl.col("area_code"))
        .alias("District"),
        pl.col("cells").alias("Cells"),
        pl.col("unsafe").alias("Unsafe"),
        pl.col("also").alias("Also hidden"),
        (100 * pl.col("hidden_share")).round(0).alias("Hidden, %"),
    )
    mo.vstack(
        [
            mo.md(
                f"## Effect of suppression\nBy the policy's rules (threshold {policy.disclosure.threshold}, zeros "
                f"{policy.disclosure.zeros}, guarantee {policy.disclosure.guarantee}) {hidden:,} of {effect.cells:,} "
                f"cells would be hidden: {effect.unsafe:,} unsafe, {effect.also:,} so that those cannot be worked "
                f"back. The auditor works {effect.exact} of the unsafe ones back. A larger city hides less: choose a "
                "larger practice city above."
            ),
            views.table(
                effect.by_level.select(
                    pl.col("area").alias("Areas"),
                    pl.col("people").alias("People"),
                    pl.col("cells").alias("Cells"),
                    pl.col("unsafe").alias("Unsafe"),
                    pl.col("also").alias("Also hidden"),
                    (100 * pl.col("hidden_share")).round(0).alias("Hidden, %"),
                ),
                "By kind of cell",
            ),
            views.table(districts, "By district"),
        ]
    )
    return (effect,)


@app.cell(hide_code=True)
def _(first_cases):
    case_editor = mo.ui.code_editor(first_cases, language="toml", min_height=420, label="Cases")
    mo.vstack(
        [
            mo.md(
                "## Cases\nA handful of invented persons with their records, and the status each must have: `open`, "
                "`closed`, `declined`, `not_applicable` or `excluded: reason`. What stands in `[base]` is true of "
                "everybody who does not say otherwise. Put the days just inside and just outside each window in."
            ),
            case_editor,
        ]
    )
    return (case_editor,)


@app.cell(hide_code=True)
def _(case_editor, draft):
    mo.stop(draft is None, mo.md("*Run when the definition is well defined.*"))
    try:
        outcomes, unreached = drafts.check_cases(draft, case_editor.value)
        case_fault = None
    except Refusal as _refusal:
        outcomes, unreached, case_fault = [], [], drafts.in_words(_refusal)
    if case_fault:
        case_verdict = views.faulty(case_fault)
    else:
        wrong = [one for one in outcomes if not one.holds]
        lines = [f"{len(outcomes) - len(wrong)} of {len(outcomes)} cases hold."]
        lines += [f"No case expects `{status}`." for status in unreached]
        case_verdict = mo.vstack(
            [
                mo.callout(mo.md("\n\n".join(lines)), kind="danger" if wrong or unreached else "success"),
                views.table(
                    pl.DataFrame(
                        [
                            (one.name, one.expect, one.found, "holds" if one.holds else "does not hold")
                            for one in outcomes
                        ],
                        schema=["Case", "Expected", "Found", "Result"],
                        orient="row",
                    ),
                    "Cases",
                ),
            ]
        )
    case_verdict
    return case_fault, outcomes, unreached


@app.cell(hide_code=True)
def _(draft):
    mo.stop(draft is None)
    replace = mo.ui.checkbox(label="Replace the indicator and cases of this id if they are there")
    save = mo.ui.run_button(label="Save the definition and its cases", kind="success")
    mo.vstack([mo.md("## Save"), replace, save])
    return replace, save


@app.cell(hide_code=True)
def _(case_editor, editor, given, replace, save):
    mo.stop(not save.value)
    try:
        written = drafts.save_draft(
            editor.value,
            case_editor.value,
            replace=replace.value,
            folder=Path(given["definitions"] or drafts.INDICATORS),
            cases_folder=Path(given["cases"] or drafts.CASES),
        )
        end = mo.callout(
            mo.md(
                f"Saved as `{written[0]}` and `{written[1]}`. Next: `caregap indicators check`, `make test`, and a "
                "line in CHANGELOG.md for those who use the numbers."
            ),
            kind="success",
        )
    except Refusal as _refusal:
        written, end = (), views.refused(_refusal, "Not saved. ")
    end
    return (written,)


if __name__ == "__main__":
    app.run()

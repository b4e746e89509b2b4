"""Commands that ask: a question of a registry, of the counts of several centres, and the counts of one."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from reports.arguments import AsJson, AsOf, RegistryPath, one_of, opened


class Question(StrEnum):
    """Questions that `analyse` answers."""

    time_to_response = "time-to-response"
    loss_of_response = "loss-of-response"
    time_in_response = "time-in-response"
    states_by_visit = "states-by-visit"
    response_at_visits = "response-at-visits"
    adjusted_response = "adjusted-response"
    dose_response = "dose-response"
    subgroups = "subgroups"
    specifications = "specifications"
    booster_effect = "booster-effect"
    outlook = "outlook"
    safety = "safety"
    safety_by_grade = "safety-by-grade"
    joint_replacement = "joint-replacement"
    trajectories = "trajectories"
    growth = "growth"
    imputed_change = "imputed-change"
    score_patterns = "score-patterns"
    describe = "describe"
    goals = "goals"


def analyse(
    context: typer.Context,
    registry: Annotated[Path | None, typer.Argument(metavar="REG", help="The registry; not with --from.")] = None,
    question: Annotated[
        Question | None, typer.Argument(help="What to ask.", parser=one_of(Question, "Question"))
    ] = None,
    counts: Annotated[
        list[Path] | None, typer.Option("--from", help="Counts of a centre (`reduce` writes them); one a centre.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="What separates the strata; default: stage, of safety product; subgroups: several, origin,centre."
        ),
    ] = None,
    definition: Annotated[str | None, typer.Option(help="Response definition; default: the programme's.")] = None,
    programme: Annotated[str | None, typer.Option(help="Only courses of this programme.")] = None,
    site: Annotated[str | None, typer.Option(help="Only this anatomical site.")] = None,
    diagnosis: Annotated[str | None, typer.Option(help="Only this diagnosis.")] = None,
    confirmation: Annotated[str, typer.Option(help="confirmed or first.")] = "confirmed",
    early_visits: Annotated[str, typer.Option(help="Visits before evaluation is due: ignored or counted.")] = "ignored",
    scale: Annotated[
        str | None, typer.Option(help="Scale or domain of a trajectory, e.g. KOOS/pain or function.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Outcome of a booster: a scale, a domain, response, loss or end.")
    ] = None,
    estimand: Annotated[str | None, typer.Option(help="Of a booster: per_protocol or intention_to_treat.")] = None,
    stage: Annotated[str | None, typer.Option(help="Of an outlook: severity stage.")] = None,
    age: Annotated[float | None, typer.Option(help="Of an outlook: age in years.")] = None,
    sex: Annotated[str | None, typer.Option(help="Of an outlook: sex.")] = None,
    like_diagnosis: Annotated[
        str | None, typer.Option(help="Of an outlook: diagnosis, others counting less; --diagnosis leaves them out.")
    ] = None,
    baseline: Annotated[
        float | None, typer.Option(help="Of an outlook: score at the first session, points of 100, 0 best.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="Of an outlook: product, as the clinic names it.")] = None,
    tissue: Annotated[str | None, typer.Option(help="Of an outlook: cell source, e.g. adipose.")] = None,
    donor: Annotated[str | None, typer.Option(help="Of an outlook: donor relation, e.g. autologous.")] = None,
    dose_million: Annotated[float | None, typer.Option(help="Of an outlook: viable cells, millions.")] = None,
    route: Annotated[str | None, typer.Option(help="Of an outlook: route, e.g. intra_articular.")] = None,
    situation: Annotated[str | None, typer.Option(help="Booster for: any, regression or insufficient.")] = None,
    show_anyway: Annotated[
        bool | None, typer.Option("--show-anyway", help="Show a booster effect although a check failed.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="Of safety: adverse events of this kind only.")] = None,
    least_grade: Annotated[
        int | None, typer.Option(min=1, max=5, help="Of safety: CTCAE grade from which an event counts.")
    ] = None,
    serious: Annotated[bool | None, typer.Option("--serious", help="Of safety: serious events only.")] = None,
    related_to: Annotated[
        str | None,
        typer.Option(help="Of safety: related to the product, procedure or harvest."),
    ] = None,
    horizon_day: Annotated[list[int] | None, typer.Option(min=1, help="Days to report; may be repeated.")] = None,
    min_potential_follow_up_day: Annotated[int | None, typer.Option(help="First session to data cut, days.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Confidence of limits; default: 0.95.")] = None,
    resamples: Annotated[int | None, typer.Option(min=20, help="Samples of patients that limits are made of.")] = None,
    seed: Annotated[int | None, typer.Option(help="Where the samples start from.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the figure here (PNG or SVG).")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question by severity stage, with its definition, attrition and diagnostics."""
    import analysis
    from registry.errors import NotEstimable
    from reports import answers

    if counts:
        if question is not None or registry is None:
            raise typer.BadParameter("with --from name one question and no registry.")
        how = {"horizon_day": tuple(horizon_day) if horizon_day else None, "confidence": confidence,
               "resamples": resamples, "seed": seed}  # fmt: skip
        _pooled(context, counts, str(registry), how, figure, as_json)
        return
    if registry is None or question is None:
        raise typer.BadParameter("name a registry and a question, or a question and --from FILE.")
    reg = opened(registry, as_of)
    courses = reg.courses(
        programme=programme, site=site, diagnosis=diagnosis, min_potential_follow_up_day=min_potential_follow_up_day
    )
    given = {
        "by": by,
        "definition": definition,
        "confirmation": confirmation,
        "early_visits": early_visits,
        "horizon_day": tuple(horizon_day) if horizon_day else None,
        "scale": scale,
        "outcome": outcome,
        "estimand": estimand,
        "situation": situation,
        "stage": stage,
        "age": age,
        "sex": sex,
        "baseline": baseline,
        "product": product,
        "tissue": tissue,
        "donor": donor,
        "dose_million": dose_million,
        "route": route,
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "show_anyway": show_anyway,
        "category": category,
        "least_grade": least_grade,
        "serious": serious,
        "related_to": related_to,
    }
    options = answers.options_of(getattr(analysis, question.name), given, answers.typed(context, given))
    if like_diagnosis is not None:
        if question is not Question.outlook:
            raise typer.BadParameter(f"--like-diagnosis is not an option of {question.value}.")
        options["diagnosis"] = like_diagnosis
    try:
        result = getattr(analysis, question.name)(courses, **options)
    except NotEstimable as error:
        if as_json:
            told = answers.withheld(question.name, options, courses, str(error))
            typer.echo(json.dumps(told, ensure_ascii=False, default=str))
            raise typer.Exit(5) from None
        raise
    if figure is not None:
        answers.write_figure(result, figure)
    typer.echo(result.to_json() if as_json else repr(result))
    if result.withheld:
        raise typer.Exit(5)


def _pooled(
    context: typer.Context, files: list[Path], asked: str, given: dict[str, Any], figure: Path | None, as_json: bool
) -> None:
    """Answer a question from files of counts. What was counted and how was decided where they were written."""
    from analysis import answer, pool, read_counts
    from analysis.pooled import QUESTIONS
    from registry.errors import NotEstimable, UsageError, choose
    from reports import answers

    question = choose(asked.replace("-", "_"), QUESTIONS, "Questions that counts can answer:")
    free = {*given, "figure", "as_json", "counts", "registry"}
    for name in answers.typed(context, [p.name for p in context.command.params if p.name]) - free:
        raise UsageError(f"--{name.replace('_', '-')} was decided where the counts were made; `reduce` takes it.")
    held = [(path, read_counts(path)) for path in files]
    for path, found in held:
        if question not in found:
            raise UsageError(f"{path.name} has no counts for {asked}; it has {', '.join(found) or 'none'}.")
    try:
        reduction = pool([found[question] for _, found in held])
        result = answer(reduction, **{k: v for k, v in given.items() if v is not None})
    except NotEstimable as error:
        if as_json:
            typer.echo(json.dumps({"question": question, "frame": [], "withheld": [str(error)]}, ensure_ascii=False))
            raise typer.Exit(5) from None
        raise
    if figure is not None:
        answers.write_figure(result, figure)
    typer.echo(result.to_json() if as_json else repr(result))


def reduce(
    registry: RegistryPath,
    out: Annotated[Path, typer.Option("--out", help="The file to write, e.g. north.zip.")],
    centre: Annotated[str, typer.Option(help="Name of the centre in the pooled result.")],
    question: Annotated[list[str] | None, typer.Option(help="Question to count for; default: all that can be.")] = None,
    by: Annotated[str, typer.Option(help="What separates the strata.")] = "stage",
    definition: Annotated[str | None, typer.Option(help="Response definition; default: the programme's.")] = None,
    programme: Annotated[str | None, typer.Option(help="Only courses of this programme.")] = None,
    site: Annotated[str | None, typer.Option(help="Only this anatomical site.")] = None,
    diagnosis: Annotated[str | None, typer.Option(help="Only this diagnosis.")] = None,
    confirmation: Annotated[str | None, typer.Option(help="confirmed or first.")] = None,
    scale: Annotated[str | None, typer.Option(help="Scale or domain of the trajectory.")] = None,
    min_potential_follow_up_day: Annotated[int | None, typer.Option(help="First session to data cut, days.")] = None,
    smallest: Annotated[int, typer.Option(min=2, help="Counts of fewer courses are joined.")] = 5,
    exact: Annotated[
        bool, typer.Option("--exact", help="Send every count, of one too: only where that is agreed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count a centre's courses for a pooled analysis: a file of tables that can leave while the patients stay."""
    from reports.centre_counts import count_centre

    how = {"by": by, "definition": definition, "confirmation": confirmation, "scale": scale}
    done = count_centre(
        opened(registry).courses(
            programme=programme, site=site, diagnosis=diagnosis, min_potential_follow_up_day=min_potential_follow_up_day
        ), out, centre,
        questions=question, how={k: v for k, v in how.items() if v is not None}, smallest=None if exact else smallest,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(done.to_dict(), ensure_ascii=False, default=str))
        return
    for line in done.lines():
        typer.echo(line)


def second_opinion(
    registry: RegistryPath,
    by: Annotated[str, typer.Option(help="What separates the strata.")] = "stage",
    programme: Annotated[str | None, typer.Option(help="Only courses of this programme.")] = None,
    site: Annotated[str | None, typer.Option(help="Only this anatomical site.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put to lifelines and statsmodels what they can answer, and say how far their numbers are from ours."""
    import analysis
    from reports import answers

    courses = opened(registry).courses(programme=programme, site=site)
    found = answers.opinions(analysis.second_opinion(courses, by=by))  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps({"compared": found}, ensure_ascii=False, default=str))
    else:
        for told in found:
            typer.secho(answers.opinion(told), fg="red" if told["agrees"] is False else None)
    if any(told["agrees"] is False for told in found):
        raise typer.Exit(1)


COMMANDS = (analyse, second_opinion, reduce)

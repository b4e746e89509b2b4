"""Commands that ask: a question of a registry, of the counts of several centres, and the counts of one."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from reports import options
from reports.arguments import AsJson, AsOf, RegistryPath, one_of, opened


class Question(StrEnum):
    """Questions that `analyse` answers."""

    time_to_response = "time-to-response"
    loss_of_response = "loss-of-response"
    time_in_response = "time-in-response"
    states_by_visit = "states-by-visit"
    response_at_visits = "response-at-visits"
    adjusted_response = "adjusted-response"
    adjusted_loss = "adjusted-loss"
    adjusted_time_in_response = "adjusted-time-in-response"
    adjusted_replacement = "adjusted-replacement"
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
    programme: Annotated[str | None, typer.Option(help="Only courses of this programme.")] = None,
    site: Annotated[str | None, typer.Option(help="Only this anatomical site.")] = None,
    diagnosis: Annotated[str | None, typer.Option(help="Only this diagnosis.")] = None,
    min_potential_follow_up_day: Annotated[int | None, typer.Option(help="First session to data cut, days.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the figure here (PNG or SVG).")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question by severity stage, with its definition, attrition and diagnostics.

    Every argument that a question has in Python is an option here: `analyse QUESTION --help` explains its own. Where
    several values are taken they are separated by commas, or the option is repeated; '' is none of them.
    """
    import analysis
    from registry.errors import NotEstimable
    from reports import answers

    answers.check_figure(figure)
    if counts:
        if question is not None or registry is None:
            raise typer.BadParameter("with --from name one question and no registry.")
        _pooled(context, counts, str(registry), figure, as_json)
        return
    if registry is None or question is None:
        raise typer.BadParameter("name a registry and a question, or a question and --from FILE.")
    how = options.chosen(_Analyse.asks(), question.name, options.typed_for(context))
    courses = opened(registry, as_of).courses(
        programme=programme, site=site, diagnosis=diagnosis, min_potential_follow_up_day=min_potential_follow_up_day
    )
    try:
        result = getattr(analysis, question.name)(courses, **how)
    except NotEstimable as error:
        if as_json:
            told = answers.withheld(question.name, how, courses, str(error))
            typer.echo(json.dumps(told, ensure_ascii=False, default=str))
            raise typer.Exit(5) from None
        raise
    typer.echo(result.to_json() if as_json else repr(result))
    if figure is not None:
        answers.write_figure(result, figure)
    if result.withheld:
        raise typer.Exit(5)


def _pooled(context: typer.Context, files: list[Path], asked: str, figure: Path | None, as_json: bool) -> None:
    """Answer a question from files of counts. What was counted and how was decided where they were written."""
    from analysis import answer, pool, read_counts
    from analysis.pooled import QUESTIONS
    from registry.errors import NotEstimable, UsageError, choose
    from reports import answers

    question = choose(asked.replace("-", "_"), QUESTIONS, "Questions that counts can answer:")
    typed, decided = options.typed_for(context), options.by_option(_Reduce.asks())
    own = answers.typed(context, [p.name for p in context.command.params if p.name])
    for name in (own - {"figure", "as_json", "counts", "registry"}) | (set(typed) & set(decided)):
        raise UsageError(f"--{name.replace('_', '-')} was decided where the counts were made; `reduce` takes it.")
    how = options.chosen(_Analyse.asks(), question, typed)
    held = [(path, read_counts(path)) for path in files]
    for path, found in held:
        if question not in found:
            raise UsageError(f"{path.name} has no counts for {asked}; it has {', '.join(found) or 'none'}.")
    try:
        reduction = pool([found[question] for _, found in held])
        result = answer(reduction, **how)
    except NotEstimable as error:
        if as_json:
            typer.echo(json.dumps({"question": question, "frame": [], "withheld": [str(error)]}, ensure_ascii=False))
            raise typer.Exit(5) from None
        raise
    typer.echo(result.to_json() if as_json else repr(result))
    if figure is not None:
        answers.write_figure(result, figure)


def reduce(
    context: typer.Context,
    registry: RegistryPath,
    out: Annotated[Path, typer.Option("--out", help="The file to write, e.g. north.zip.")],
    centre: Annotated[str, typer.Option(help="Name of the centre in the pooled result.")],
    question: Annotated[list[str] | None, typer.Option(help="Question to count for; default: all that can be.")] = None,
    programme: Annotated[str | None, typer.Option(help="Only courses of this programme.")] = None,
    site: Annotated[str | None, typer.Option(help="Only this anatomical site.")] = None,
    diagnosis: Annotated[str | None, typer.Option(help="Only this diagnosis.")] = None,
    min_potential_follow_up_day: Annotated[int | None, typer.Option(help="First session to data cut, days.")] = None,
    smallest: Annotated[int, typer.Option(min=2, help="Counts of fewer courses are joined.")] = 5,
    exact: Annotated[
        bool, typer.Option("--exact", help="Send every count, of one too: only where that is agreed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count a centre's courses for a pooled analysis: a file of tables that can leave while the patients stay.

    Of the arguments of a question those are options here that decide who and what is counted; each question counted
    for takes those that it knows.
    """
    from reports.centre_counts import count_centre, wanted

    asked, typed = _Reduce.asks(), options.typed_for(context)
    how: dict[str, Any] = {}
    for name in wanted(question):
        takes = {k.option for k in asked[name].values()}
        how |= options.chosen(asked, name, {n: v for n, v in typed.items() if n in takes})
    done = count_centre(
        opened(registry).courses(
            programme=programme, site=site, diagnosis=diagnosis, min_potential_follow_up_day=min_potential_follow_up_day
        ), out, centre, questions=question, how=how, smallest=None if exact else smallest,
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


class _Analyse(options.Asking):
    @staticmethod
    def asks() -> options.Asked:
        import analysis

        return {q.name: options.keywords(getattr(analysis, q.name)) for q in Question}


class _Reduce(options.Asking):
    @staticmethod
    def asks() -> options.Asked:
        import analysis
        from analysis.pooled import QUESTIONS, takes

        taken = {q: options.keywords(getattr(analysis, q)) for q in QUESTIONS}
        return {q: {n: k for n, k in keys.items() if n in takes(q)} for q, keys in taken.items()}


COMMANDS = (analyse, second_opinion, reduce)
# Commands that take the options of questions too.
ASKING = {analyse: _Analyse, reduce: _Reduce}

"""What analyses and catalogues say on the page of the report, so that it can be told in another language.

A phrase with places, ``%(n)s``, stands for all texts that have something there; what has is looked up in its turn. A
phrase that an analysis no longer says is found by a test; one that is missing here leaves its text in English, marked.
"""

from __future__ import annotations


def N_(message: str) -> str:
    """Mark a text as one of the catalogue; it is looked up where it is shown."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:
    """Mark the two forms of a text that goes with a number; :meth:`reports.words.Words.say_many` looks them up."""
    return one, many


_REASONS = (
    N_("suppressed"), N_("information"), N_("not known"), N_("withheld"), N_("none due"), N_("few"), N_("none"),
    N_("some"), N_("of few"), N_("nobody in this stratum"), N_("nobody was boosted"), N_("nobody was left waiting"),
    N_("no outcome was seen in one arm"), N_("all or none were ever boosted"), N_("not due for anybody yet"),
    N_("too few like this one"), N_("fewer than %(n)s courses were seen"), N_("no visit before this one was judged"),
    N_("a test needs two strata and at least one end"), N_("never recorded"), N_("%(n)s or more"),
    N_("fewer than %(n)s"), N_("suppressed: fewer than %(n)s"), N_("over %(share)s"), N_("under %(share)s"),
    N_("settled up to day %(day)s only"), N_("nobody was followed beyond day %(day)s"),
    N_("none seen by then; %(n)s watched so long"), N_("not known in %(strata)s"),
    N_("generalised log-rank (Sun) on %(df)s df, chi-squared %(chi)s, variance clustered by patient; "
       "ends count as censored"),
    N_("log-rank of the cause-specific hazard on %(df)s df, chi-squared %(chi)s"),
    N_("log-rank of the cause-specific hazard, clustered by patient on %(df)s df, chi-squared %(chi)s"),
)  # fmt: skip

_LEFT = (
    N_("another programme"), N_("no stage recorded"), N_("no treatment session"), N_("no baseline score"),
    N_("no assessment after treatment"), N_("no assessment since evaluation was due"),
    N_("the definition could not be judged"), N_("other reasons together"),
    N_("consent withdrawn for all data"), N_("%(n)s no stage recorded"), N_("%(n)s no treatment session"),
    N_("%(n)s no baseline score"), N_("%(n)s no assessment after treatment"),
    N_("%(n)s no assessment since evaluation was due"), N_("%(n)s the definition could not be judged"),
    N_("%(n)s no baseline of the scale"), N_("%(n)s never judged once evaluation was due"),
    N_("%(n)s another programme"), N_("%(n)s not followed for a day"), N_("%(n)s no contact after treatment"),
)  # fmt: skip

_CHARACTERISTICS = (
    N_("All"), N_("Courses"), N_("Age"), N_("Body-mass index"), N_("Duration of symptoms"), N_("Baseline pain"),
    N_("Baseline function"), N_("Baseline global assessment"), N_("Baseline quality of life"),
    N_("Dose of the first session"), N_("Dose of the planned series"), N_("Sex"), N_("Diagnosis"),
    N_("Anatomical site"), N_("Cell source"), N_("Donor"), N_("Product"), N_("Separation of cells"),
    N_("Expansion in culture"), N_("expanded"), N_("not expanded"), N_("Route"), N_("Guidance"),
    N_("Planned sessions"), N_("missing"), N_("mean (SD), %(unit)s"), N_("median [IQR]"), N_("years"), N_("kg/m²"),
    N_("months"), N_("0 best to 100 worst"), N_("million viable cells"),
)  # fmt: skip

_STATUS = (
    N_("withdrawn"), N_("not treated"), N_("ended"), N_("too early"), N_("lost"), N_("described only"),
    N_("responding"), N_("regressing"), N_("not assessed"), N_("no response"), N_("insufficient"),
    N_("consent withdrawn for all data: not in any analysis"), N_("no session recorded"),
    N_("replacement, death, other treatment, or a later course"), N_("before the evaluation window"),
    N_("the last due visit and at least one more were missed"), N_("the programme has no response definition"),
    N_("definition met, confirmed at the latest visits"), N_("response confirmed, then lost: review"),
    N_("evaluation due, nothing measured: contact"), N_("never met within the evaluation window: review the plan"),
    N_("not met so far, evaluation window open: review"),
)  # fmt: skip

_SETTINGS = (
    N_("confirmed"),
    N_("first"),
    N_("competing"),
    N_("censored"),
    N_("ignored"),
    N_("counted"),
    N_("treatment policy"),
    N_("hypothetical"),
    N_("Greenwood"),
    N_("bootstrap of patients"),
    N_("points of 100"),
    N_("10*9/L"),
    N_("share"),
    N_("a positive change is an improvement"),
    N_("a positive difference is a benefit"),
    N_("a negative difference is a benefit"),
    # States of a course.
    N_("in response"),
    N_("response lost"),
    N_("no response yet"),
    N_("dead"),
    N_("%(before)s → %(after)s"),
    N_("all"),
    N_("DOSES"),
    N_("in memory for this report"),
    N_("load %(load)s, sql %(sql)s, catalogue %(catalogue)s"),
)

# What somebody chose for the patient (analysis.exposure).
_EXPOSURES = (
    N_("cell source"), N_("donor"), N_("product"), N_("separation of cells"), N_("expansion in culture"),
    N_("processing on the day of use"), N_("viability of the cells"), N_("route"), N_("guidance"), N_("dose"),
)  # fmt: skip

_NOTES = (
    N_("Nobody was randomised to the %(exposure)s: whoever chose it had reasons, and reasons that are not adjusted for "
       "may explain a difference."),
    N_("Thresholds of %(definition)s are not verified against their source: %(source)s."),
    N_("First crossings are counted: one crossing is mostly measurement error; compare with confirmed."),
    N_("Confirmed states are those that the next visit shows too: with visits a year apart a shorter response is not "
       "counted, so that the share in response is lower than visit by visit (confirmation='first')."),
    N_("Each visit counts as it shows: measurement error makes losses and returns that are none."),
    N_("Rule %(rule)s is not verified against a source: %(source)s."),
    N_("%(stratum)s: never seen and left out of the model: %(ways)s"),
    N_("The share seen in response is of those who came: biased where those without benefit stay away."),
    N_("Missing scores are taken to depend on what was observed (missing at random); no data can show that."),
    N_("Differences between strata are adjusted for %(covariates)s."),
    N_("Strata may differ in stage, which is not adjusted for: adjust='stage' compares like stages."),
    N_("Several scales stand for %(domain)s, one a course, on 0 to 100: %(scales)s courses."),
    N_("%(scale)s in %(n)s"),
    N_("The covariance is %(structure)s, since the one asked for could not be fitted: %(why)s"),
    N_("The strata have one covariance in common, since one for each could not be fitted: %(why)s"),
    N_("too few courses were seen in %(strata)s"),
    N_("unstructured"),
    N_("heterogeneous toeplitz"),
    N_("toeplitz"),
    N_("heterogeneous ar1"),
    N_("ar1"),
    N_("heterogeneous compound symmetry"),
    N_("compound symmetry"),
    N_("%(n)s courses have a baseline and no score at any of these visits."),
    N_("Some patients have several courses: intervals are clustered by patient."),
    N_("Some patients have several courses, and their rows were not used: intervals take courses as independent."),
    N_("Every patient has one course: the variance is that of the model."),
    N_("variance='sandwich' asks for the empirical variance, each patient a cluster."),
    N_("%(visit)s: nobody was seen; the visit is left out."),
    N_("%(visit)s: only %(n)s courses were seen; the visit is left out."),
    N_("%(visit)s: fewer than %(n)s courses were seen; the visit is left out."),
    N_("Boosters for lost response and for insufficient response are pooled here, told apart by a covariate; "
       "situation='regression' or 'insufficient' asks of one."),
    N_("No unmeasured reason for the booster is assumed, given what was known at the decision. Not randomised: see the "
       "E-value, the negative control and docs/methods/booster.md."),
    N_("%(stratum)s: courses ever boosted differed from those never boosted by %(naive)s %(unit)s; compared at the "
       "decision, in like situations, the estimated difference is %(effects)s. The first number is not the effect: "
       "%(reason)s."),
    N_("%(stratum)s: courses ever boosted differed from those never boosted by %(naive)s %(unit)s. This is not the "
       "effect, of which no number is shown: %(reason)s."),
    N_("points"), N_("percentage points"),
    N_("those who were boosted were already losing, or had not responded"),
    N_("whoever ended or stayed away early could no longer be boosted and counts among the never boosted, so that the "
       "boosted are those who lasted until then (immortal time)"),
    N_("those who were boosted were already losing or had not responded, which makes a booster look worse, and had to "
       "go without an end until then, which makes it look better (immortal time)"),
    N_("that both agree is chance, since %(reason)s"),
    N_("Before–after in the boosted (naive) is not the effect: they are boosted when they are at their worst, and what "
       "is measured at its worst is better the next time even if nothing is done (regression to the mean)."),
    N_("%(value)s (%(low)s to %(high)s) at day %(day)s"),
    N_("An end counts whenever it was reported; a course without one is censored at its last contact. Where ends are "
       "reported also of those no longer seen, the incidence is overstated."),
    N_("A description of similar courses, not a recommendation: they were not assigned their treatment at random."),
    N_("Changes, and states of targets that go on, are of those seen at the visit, who stand for those alike in what "
       "was last seen of them who were not: who stays away for another reason may fare otherwise. Ends are of all who "
       "were due, as reported."),
    N_("A course counts once in every cell in which it had an event. Limits are exact, of as many events as count like "
       "independent ones: where a few patients have many, they are wider."),
    N_("Events that nobody recorded are not seen: a registry counts what clinics write down, mild events least."),
    N_("Courses are watched to their last contact; who is never heard of again has told of no event."),
    N_("In numbers weighted for leaving, those still watched stand for those who left with as many events; who left "
       "for a reason that nobody saw is not made up for."),
    N_("Mean numbers are of those still watched: a death takes a course out of the count as leaving does, so that "
       "they say how many events those alive have, and not how many a course has until its death. An end of the "
       "target alone does not stop the watching."),
    N_("Limits are exact, of as many events as count like independent ones: where a few patients have many, they are "
       "wider. Two treated sides of one person count as two courses, and a year of both as two course-years."),
    N_("Whoever set a low goal attains it more easily: shares compare what was reached with what was hoped for."),
    N_("Goals that nobody assessed are in no share but that of all named, which says how far they could move it."),
    N_("Exact limits take courses as independent; two treated sides of one person count as two."),
)  # fmt: skip

_QUESTIONS = (
    N_("time to response"), N_("time in response"), N_("trajectories"), N_("booster effect"), N_("outlook"),
    N_("safety"),
)  # fmt: skip

_TITLES = (
    N_("Change from baseline in %(scale)s by stage"),
    N_("Effect of a booster by stage: %(outcome)s, per protocol"),
    N_("improvement of %(domain)s"),
)

_WITHHELD = (
    N_("The programme has no response definition."),
    N_("No course is selected."),
    N_("No course is selected: there is nothing to judge."),
    N_("No course can be judged by %(definition)s. %(reasons)s"),
    N_("No course is left to analyse. %(reasons)s"),
    N_("No course is selected, or its programme names no scale. Name one: scale='…'."),
    N_("No course has a baseline of %(scale)s: a change from it cannot be estimated."),
    N_("No course has a baseline of %(scale)s and the covariates asked for."),
    N_("No planned visit has enough courses with %(scale)s for a mean change by stratum: at most %(most)s were seen, "
       "%(needed)s are needed."),
    N_("No planned visit has enough courses with %(scale)s for a mean change by stratum: fewer than %(most)s were "
       "seen, %(needed)s are needed."),
    N_("No planned visit has enough courses with %(scale)s for a mean change by stratum: %(most)s or more were seen, "
       "%(needed)s are needed."),
    N_("States over time cannot be estimated. %(reasons)s"),
    N_("%(stratum)s: %(n)s courses were seen after treatment"),
    N_("%(stratum)s: %(n)s course was seen after treatment"),
    N_("at least %(needed)s are needed"),
    N_("No course has a visit at which a booster could be decided on. Reasons are in .attrition."),
    N_("No decision is followed by %(day)s days before the data cut (situation: %(situation)s). A shorter horizon_day, "
       "or a later data cut, is needed."),
    N_("Of the eligible decisions none was for a booster given within %(day)s days: there is nothing to compare. "
       "Record the decisions against a booster too, or widen grace_day."),
    N_("Of the eligible decisions all were for a booster given within %(day)s days: there is nothing to compare. "
       "Record the decisions against a booster too, or widen grace_day."),
    N_("Fewer than %(n)s courses are like this one at every visit. Wait for more courses of its stage."),
    N_("No course of this stage has a planned visit due by the data cut."),
    N_("largest standardised difference after weighting %(value)s, must be %(limit)s: more decisions, or fewer "
       "covariates that nearly decide on the booster"),
    N_("share of decisions without overlap %(value)s, must be %(limit)s: decisions for and against a booster in like "
       "situations: where it is always given, or never, none compares"),
    N_("effective sample size, %(arm)s %(value)s, must be %(limit)s: more decisions, or better overlap: a few now "
       "carry the whole weight"),
    N_("share of follow-up artificially censored %(value)s, must be %(limit)s: a shorter horizon, or the "
       "intention-to-treat estimand"),
    N_("negative control, p %(value)s, must be %(limit)s: what was known at the decision does not explain who was "
       "boosted: an unmeasured reason is likely"),
    N_("No stratum has enough: %(strata)s"),
    N_("%(stratum)s: fewer than %(n)s patients with a decision for a booster"),
    N_("%(stratum)s: fewer than %(n)s patients with a decision against a booster"),
    N_("%(stratum)s: the weight of those boosted lies on fewer than %(n)s patients: more decisions, or better overlap, "
       "would be needed"),
    N_("%(stratum)s: the weight of those waiting lies on fewer than %(n)s patients: more decisions, or better overlap, "
       "would be needed"),
    N_("%(stratum)s: boosted and waiting differ in %(covariate)s after weighting: more decisions, or fewer covariates "
       "that nearly decide on the booster, would be needed"),
    N_("%(stratum)s: a booster is nearly always, or never, given in like situations: decisions for and against one "
       "would be needed"),
    N_("%(stratum)s: fewer than %(n)s outcomes within %(near)s days of day %(day)s in one arm"),
)  # fmt: skip

_CHECKS = (
    N_("largest standardised difference after weighting"),
    N_("share of decisions without overlap"),
    N_("effective sample size, boosted"),
    N_("effective sample size, waiting"),
    N_("share of follow-up artificially censored"),
    N_("negative control, p"),
    N_("boosts in %(stratum)s"),
    N_("waiting decisions in %(stratum)s"),
    N_("effective sample size, boosted in %(stratum)s"),
    N_("effective sample size, waiting in %(stratum)s"),
    N_("largest standardised difference after weighting in %(stratum)s"),
    N_("share of decisions without overlap in %(stratum)s"),
    N_("courses in %(stratum)s"),
    N_("certificate of %(stratum)s"),
    N_("responses in %(stratum)s"),
    N_("courses without a settled visit in %(stratum)s"),
)

_PROTOCOL = (
    N_("Eligibility"),
    N_("Treatment strategies"),
    N_("Assignment"),
    N_("Follow-up"),
    N_("Outcome"),
    N_("Causal contrast"),
    N_("Statistical analysis"),
    N_("Targets without response by %(definition)s once evaluation is due, no earlier booster, not ended; situation: "
       "%(situation)s; %(outcome)s measurable against a baseline"),
    N_("any"),
    N_("Judged visits, each with what was known on its day only; %(sources)s; at least %(days)s days from the decision "
       "to the data cut. A course may enter at several visits"),
    N_("%(n)s decisions from the decision log"),
    N_("%(n)s decisions from the visits"),
    N_("A booster within %(days)s days, and no further one; against none until the day of the outcome"),
    N_("Sessions recorded as boosters, or given beyond the planned series after evaluation was due"),
    N_("At random at the decision; not blinded"),
    N_("Taken as random within levels of what was known: %(covariates)s"),
    N_("From the decision to %(days)s days after it, the end of the target, or the last contact"),
    N_("The decision is time zero for eligibility and follow-up; the booster may come within the grace period; "
       "censored when the strategy is no longer followed"),
    N_("%(outcome)s at %(days)s days"),
    N_("%(first)s and %(last)s"),
    N_("Score at each visit, in actual time; those whose target ended are weighted for, as if it had not"),
    N_("Per-protocol effect: difference by stage, and between strata"),
    N_("The same, over the eligible decisions of each stratum"),
    N_("Means or shares compared by arm"),
    N_("Trials at every eligible visit, pooled; stabilised, calibrated inverse-probability weights; weights for "
       "boosters later and for not being seen again; outcome model adjusted for the same covariates and standardised; "
       "%(n)s resamples of patients, all models refitted"),
    # What was known at a decision.
    N_("baseline"),
    N_("improvement on that day"),
    N_("improvement at the visit before"),
    N_("best improvement so far"),
    N_("response was lost"),
    N_("time since the last session"),
    N_("time since treatment"),
    N_("age"),
    N_("female"),
    N_("body-mass index"),
    N_("%(covariate)s: not recorded"),
    N_("site: %(site)s"),
)  # fmt: skip

_REFUSED = (
    N_("there is no value"), N_("this is not %(form)s"), N_("a date as YYYY-MM-DD"),
    N_("a date as YYYY-MM-DD, YYYY-MM or YYYY"), N_("yes or no"), N_("a whole number"), N_("a number"),
    N_("the date is in the future"), N_("the date is before 1900"), N_("the number has a decimal comma"),
    N_("the code is not in the list"), N_("it must be between %(low)s and %(high)s"),
    N_("it must be between %(low)s and %(high)s %(unit)s"), N_("no accepted patient has this number"),
)  # fmt: skip

_FIGURES = (
    N_("At risk"), N_("Seen / due"), N_("boosted"), N_("waiting"), N_("response"),
    N_("Months since the first session"),
    N_("%(when)s ([c]: hidden, few)"),
    N_("Band: %(level)s CI"),
    N_("Band: %(level)s CI; darker: the curve runs anywhere in it"),
    N_("Bars: %(level)s CI"), N_("Months since the decision"),
    N_("Cumulative incidence of %(event)s"),
    N_("Probability of being in response"),
    N_("Mean change from baseline\n(%(unit)s, up is better)"),
    N_("before weighting"), N_("after weighting"), N_("Share of the arm"), N_("not boosted"), N_("boosted before"),
    N_("Absolute standardised difference,\nboosted against waiting (dashed: limit 0.1)"),
    N_("Probability of the booster, given what was known"), N_("eligible decisions"), N_("data cut too soon after"),
    N_("Weight (1st to 99th percentile;\nbox: quartiles, upright: median)"),
    N_("visits judged since evaluation was due"), N_("no decision recorded at a centre that keeps a log"),
    N_("Balance of %(n)s covariates at the decision: largest absolute standardised difference %(high)s before "
       "weighting and %(low)s after."),
    N_("Overlap of the probability of a booster between boosted and waiting courses, and percentiles of the weights."),
    N_("Improvement since the decision\n(points of 100)"), N_("Difference\n(boosted − waiting)"),
    N_("Cumulative incidence of %(event)s over %(months)s months. At its end: %(ends)s."),
    N_("Probability of being in response over %(months)s months. At its end: %(ends)s."),
    N_("Mean change from baseline in %(scale)s over %(visits)s planned visits, in %(unit)s, positive is improvement. "
       "At the last visit with enough courses: %(ends)s."),
    N_("%(title)s. Difference, boosted minus waiting, at day %(day)s: %(ends)s."),
    N_("%(stratum)s %(share)s %% (%(low)s to %(high)s)"),
    N_("%(stratum)s %(share)s %%"),
    N_("%(stratum)s %(share)s %% (%(low)s to %(high)s) at %(months)s months"),
    N_("%(stratum)s %(share)s %% at %(months)s months"),
    N_("%(stratum)s not shown"),
    N_("%(stratum)s %(mean)s (%(low)s to %(high)s) at %(visit)s"),
    N_("%(stratum)s %(mean)s (%(low)s to %(high)s)"),
)  # fmt: skip

PHRASES = (
    *_REASONS, *_LEFT, *_CHARACTERISTICS, *_STATUS, *_SETTINGS, *_EXPOSURES, *_NOTES, *_TITLES, *_WITHHELD, *_CHECKS,
    *_PROTOCOL, *_REFUSED, *_QUESTIONS, *_FIGURES,
)  # fmt: skip

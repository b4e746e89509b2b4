"""The whole job as a user would write it today with pandas, lifelines and statsmodels, step by step.

    python benchmarks/job_pandas.py FOLDER --limit 300

Reads the same files. What it leaves out is what those packages do not have: a check of the rows with reasons, history,
an interval-censored estimate with competing ends, a multi-state model of states seen at visits, a mixed model with
unstructured covariance. Each step runs in a process of its own and is cut after `--limit` seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import time
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
STAGES = {"1": "early", "2": "early", "3": "moderate", "4": "bone_on_bone"}


class Cut(Exception):
    """A step took longer than it may."""


def read(folder: Path) -> dict[str, Any]:
    """Read every table, all its parts."""
    import pandas as pd

    names = ("patients", "stages", "courses", "sessions", "measurements", "events", "visits")
    return {
        n: pd.concat([pd.read_csv(p, dtype={"patient": str}) for p in sorted(folder.glob(f"{n}_*.csv"))]) for n in names
    }


def derive(t: dict[str, Any]) -> dict[str, Any]:
    """Return a row a course and a row a visit: baseline, response (OMERACT-OARSI 2004), confirmed at the next visit."""
    import numpy as np
    import pandas as pd

    key = ["patient", "site", "side", "course_no"]
    sessions = t["sessions"].assign(date=pd.to_datetime(t["sessions"]["date"]))
    first = sessions.groupby(key)["date"].min().rename("index_date").reset_index()
    first["next_start"] = first.sort_values("course_no").groupby(["patient", "site", "side"])["index_date"].shift(-1)
    m = t["measurements"].assign(date=pd.to_datetime(t["measurements"]["date"]))
    m["what"] = np.where(m["instrument"] == "PtGA", "global", m["subscale"].map({"pain": "pain", "adl": "function"}))
    m = m[m["what"].notna()]
    m["worse"] = np.where(m["instrument"].isin(["KOOS", "HOOS"]), 100 - m["value"], m["value"])
    wide = m.pivot_table(index=["patient", "site", "side", "date"], columns="what", values="worse", aggfunc="first")
    rows = wide.reset_index().merge(first, on=["patient", "site", "side"])
    rows["day"] = (rows["date"] - rows["index_date"]).dt.days
    rows = rows[rows["next_start"].isna() | (rows["date"] < rows["next_start"])]
    base = rows[(rows["day"] <= 0) & (rows["day"] >= -90)].sort_values("day").groupby(key).last()
    base = base[["pain", "function", "global"]].add_suffix("_0")
    after = rows[rows["day"] >= 90 - 21].merge(base, left_on=key, right_index=True)
    # Without this a comparison with a missing baseline is False, and counts as no response.
    after = after.dropna(subset=[f"{name}{mark}" for name in ("pain", "function", "global") for mark in ("", "_0")])
    strong, weak = [], []
    for name in ("pain", "function", "global"):
        change = after[f"{name}_0"] - after[name]
        share = change / after[f"{name}_0"].where(after[f"{name}_0"] > 0)
        strong.append((share >= 0.5) & (change >= 20) if name != "global" else False)
        weak.append((share >= 0.2) & (change >= 10))
    after["met"] = strong[0] | strong[1] | (sum(w.astype(int) for w in weak) >= 2)
    after = after.sort_values([*key, "day"])
    grouped = after.groupby(key)
    after["next_met"], after["previous"] = grouped["met"].shift(-1), grouped["day"].shift(1)
    hit = after[after["met"] & (after["next_met"] == True)]  # noqa: E712
    response = hit.groupby(key).head(1).set_index(key)[["day", "previous"]]
    response.columns = ["right", "left"]
    # A last visit can confirm a response but not begin one: everybody is watched to the last visit but one.
    course = grouped.agg(last=("previous", "max")).fillna(0).join(response)
    course["seen"] = grouped["day"].max()
    grades = t["stages"].assign(stage=t["stages"]["grade"].astype(str).map(STAGES))
    stage = grades.groupby(["patient", "site", "side"])["stage"].last()
    ends = t["events"].assign(end=pd.to_datetime(t["events"]["date"], errors="coerce"))
    ends = ends[ends["kind"].isin(["TKA", "UKA", "THA", "death"])].groupby(["patient", "site", "side"])["end"].min()
    course = course.reset_index().merge(first, on=key).join(stage, on=["patient", "site", "side"])
    course = course.join(ends, on=["patient", "site", "side"])
    course["end_day"] = (course["end"] - course["index_date"]).dt.days
    return {"course": course[course["stage"].notna()], "after": after, "sessions": sessions, "rows": rows, "base": base}


def response(d: dict[str, Any]) -> dict[str, float]:
    """Turnbull's estimate by stage: response by 12 months (ends censor, for lack of anything else)."""
    import numpy as np
    from lifelines import KaplanMeierFitter

    out = {}
    for stage, g in d["course"].groupby("stage"):
        left = np.where(g["right"].notna(), g["left"].fillna(0), g["last"]).astype(float)
        right = g["right"].fillna(np.inf).astype(float)
        fit = KaplanMeierFitter().fit_interval_censoring(left, right)
        curve = fit.survival_function_
        out[stage] = float(1 - curve[curve.index <= 365].iloc[-1].mean())
    return out


def loss(d: dict[str, Any]) -> dict[str, float]:
    """Kaplan-Meier from the visit of response to the first visit without it: what there is without a panel model."""
    from lifelines import KaplanMeierFitter

    key = ["patient", "site", "side", "course_no"]
    a = d["after"].merge(d["course"][[*key, "right", "stage"]], on=key)
    a = a[a["right"].notna() & (a["day"] >= a["right"])]
    lost = a[~a["met"]].groupby(key)["day"].min().rename("lost")
    per = a.groupby([*key, "stage"]).agg(last=("day", "max"), right=("right", "first")).reset_index().join(lost, on=key)
    out = {}
    for stage, g in per.groupby("stage"):
        time_ = (g["lost"].fillna(g["last"]) - g["right"]).clip(lower=0)
        fit = KaplanMeierFitter().fit(time_, g["lost"].notna())
        out[stage] = float(1 - fit.predict(365))
    return out


def replacement(d: dict[str, Any]) -> dict[str, float]:
    """Aalen-Johansen by stage."""
    import numpy as np
    from lifelines import AalenJohansenFitter

    out = {}
    for stage, g in d["course"].groupby("stage"):
        day = g["end_day"].fillna(g["seen"]).clip(lower=1)
        fit = AalenJohansenFitter(calculate_variance=True, seed=1)
        fit.fit(day, np.where(g["end_day"].notna(), 1, 0), event_of_interest=1)
        curve = fit.cumulative_density_
        out[stage] = float(curve[curve.index <= 730].iloc[-1, 0])
    return out


def booster(d: dict[str, Any]) -> dict[str, float]:
    """Sequential trials at each visit out of response: logistic weights, weighted outcome, errors by patient."""
    import numpy as np
    import pandas as pd
    import statsmodels.api as sm

    key = ["patient", "site", "side", "course_no"]
    a = d["after"].merge(d["course"][[*key, "stage"]], on=key)
    boosts = d["sessions"][d["sessions"]["intent"].str.startswith("booster")]
    boosts = boosts.merge(d["course"][[*key, "index_date"]], on=key)
    boosts["boost_day"] = (boosts["date"] - boosts["index_date"]).dt.days
    later = pd.merge_asof(
        a[~a["met"]].sort_values("day"), boosts[[*key, "boost_day"]].sort_values("boost_day"),
        left_on="day", right_on="boost_day", by=key, direction="forward",
    )  # fmt: skip
    later["treated"] = ((later["boost_day"] - later["day"]) <= 90).astype(int)
    outcome = a[[*key, "day", "pain"]].rename(columns={"day": "seen", "pain": "pain_then"})
    trial = later.merge(outcome, on=key)
    trial = trial[(trial["seen"] - trial["day"]).between(120, 240)].dropna(subset=["pain", "pain_0", "pain_then"])
    x = pd.get_dummies(trial["stage"], drop_first=True, dtype=float).assign(
        one=1.0, pain=trial["pain"], pain_0=trial["pain_0"], log_day=np.log(trial["day"])
    )
    chance = sm.GLM(trial["treated"], x, family=sm.families.Binomial()).fit().predict(x)
    weight = np.where(trial["treated"] == 1, 1 / chance, 1 / (1 - chance))
    out = {}
    for stage in ("early", "moderate", "bone_on_bone"):
        here = (trial["stage"] == stage).to_numpy()
        design = sm.add_constant(trial.loc[here, ["treated", "pain", "pain_0"]].astype(float))
        fit = sm.WLS((trial["pain"] - trial["pain_then"])[here], design, weights=weight[here]).fit(
            cov_type="cluster", cov_kwds={"groups": trial.loc[here, "patient"].astype("category").cat.codes}
        )
        out[stage] = float(fit.params["treated"])
    return out


def trajectories(d: dict[str, Any]) -> dict[str, float]:
    """A mixed model with a random intercept, visits by stage: the nearest that statsmodels has."""
    import numpy as np
    import statsmodels.formula.api as smf

    key = ["patient", "site", "side", "course_no"]
    a = d["rows"][d["rows"]["day"] > 0].merge(d["course"][[*key, "stage"]], on=key)
    a = a.merge(d["base"][["pain_0"]], left_on=key, right_index=True)
    planned = np.array([90, 180, 365, 730])
    a["visit"] = planned[np.abs(a["day"].to_numpy()[:, None] - planned).argmin(axis=1)]
    a["change"] = a["pain_0"] - a["pain"]
    a = a.dropna(subset=["change"])
    a["course"] = a["patient"] + a["site"] + a["side"] + a["course_no"].astype(str)
    fit = smf.mixedlm("change ~ C(visit) * C(stage) + pain_0", a, groups=a["course"]).fit(reml=True)
    return {"baseline": float(fit.params["pain_0"])}


STEPS = {f.__name__: f for f in (response, loss, replacement, booster, trajectories)}


def main() -> None:
    """Run the steps and print one JSON line: CPU seconds of each, peak memory, answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    a = parser.parse_args()
    out: dict[str, Any] = {"steps": {}, "cut": [], "answers": {}}

    def clock(name: str, task: Any) -> Any:
        begun = time.process_time()
        answer = task()
        out["steps"][name] = time.process_time() - begun
        return answer

    clock("import", lambda: __import__("lifelines") and __import__("statsmodels.api"))
    tables = [clock("read", lambda: read(a.folder))]
    made = clock("derive", lambda: derive(tables.pop()))

    def stop(*_: Any) -> None:
        raise Cut

    signal.signal(signal.SIGVTALRM, stop)
    for name, task in STEPS.items():
        signal.setitimer(signal.ITIMER_VIRTUAL, a.limit)
        begun = time.process_time()
        try:
            out["answers"][name] = task(made)
        except (Cut, MemoryError):
            out["cut"].append(name)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        out["steps"][name] = time.process_time() - begun
    out["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(out))


if __name__ == "__main__":
    main()

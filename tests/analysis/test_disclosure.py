"""Disclosure control attacked as an outsider would who knows the rules: by trying all that fits, and by subtraction."""

import inspect
import itertools
import re
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.stats import beta

from analysis.description import Description
from analysis.disclosure import POLICY, Policy, shown, total
from analysis.disclosure.complementary import also_hidden
from analysis.disclosure.rounding import in_multiples, nearest, rounded
from analysis.result import Result, diagnostics_of, frame_of, row
from registry.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "methods" / "disclosure.md").read_text("utf-8")


def printed(counts: tuple[int, ...]) -> tuple[object, ...]:
    return (*shown(counts), total(counts))


def levels(counts: tuple[int, ...]) -> tuple[object, ...]:
    """What is told of the levels of a variable in a stratum of five courses or more, and of how many they are."""
    n = np.array(counts)
    few = ((n > 0) & (n < 5)) | ((n.sum() - n > 0) & (n.sum() - n < 5))
    hidden = few | also_hidden(n, few, 5)
    return (*("hidden" if gone else int(k) for gone, k in zip(hidden, n, strict=True)), int(n.sum()))


@pytest.mark.parametrize("told", [printed, levels])
@pytest.mark.parametrize(("parts", "most"), [(2, 30), (3, 26), (4, 22)])
def test_of_all_counts_that_are_told_alike_no_small_one_is_the_same_in_each(told, parts, most):
    """Every table of up to `most` courses is told; who knows the rule and the total can do no better than try all."""
    fit = defaultdict(list)
    for counts in itertools.product(range(most + 1), repeat=parts):
        if (5 if told is levels else 0) <= sum(counts) <= most:
            fit[told(counts)].append(counts)
    sure = [t for t, tables in fit.items() for c in zip(*tables, strict=True) if len(set(c)) == 1 and 0 < c[0] < 5]
    assert sure == [] and len(fit) > 100


def test_the_attack_finds_a_cell_that_is_hidden_alone_or_labelled_too_well():
    """By hand: of 100, 98 and 1 and 1, the two hidden are 2 together; 1 and 5 are all that is below 5 and above, of 6."""
    n = np.array([100, 98, 1, 1])
    assert also_hidden(n, n < 5, 5).tolist() == [False, True, False, False]
    assert shown([1, 5]) == ["few", "few"] and shown([40, 1, 5]) == ["40", "few", "few"]
    assert shown([9, 9, 4]) == ["few"] * 3 and shown([5, 6, 2]) == ["few", "6", "few"]
    assert also_hidden(np.array([9, 3, 40]), np.array([False, True, False]), 5).tolist() == [True, False, False]


def description(table: list[list[int]], missing: list[int]) -> Description:
    """A table 1 of one variable of three levels, counts (levels, strata), and courses without it (strata,)."""
    counts = np.c_[np.array(table), np.sum(table, axis=1)]
    lacking = np.append(missing, np.sum(missing))
    codes = [f"s{i}" for i in range(len(missing))] + ["all"]
    rows = []
    for code, n, lost in zip(codes, counts.T, lacking, strict=True):
        of, known = int(n.sum() + lost), int(n.sum())
        rows.append(row(code, "courses", estimate=float(of), denominator=of))
        for level, k in zip("abc", n, strict=True):
            share = float(k / known) if known else None
            rows.append(row(code, f"x = {level}: share", estimate=share, n=int(k), denominator=known))
        rows.append(row(code, "x: missing", estimate=lost / of if of else None, n=int(lost), denominator=of))
    strata = [{"code": c, "label": c} for c in codes[:-1]]
    flow = pl.DataFrame({"reason": ["courses", "selected"], "n": [100, 100]})
    return Description("describe", "t", frame_of(rows), {"strata": strata, "overall": [{"code": "all", "label": "All"}],
                       "variables": []}, flow, diagnostics_of([]))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 14), min_size=3, max_size=3), min_size=3, max_size=3),
    st.lists(st.integers(0, 7), min_size=3, max_size=3),
)
def test_no_hidden_count_of_a_table_1_is_found_by_adding_and_subtracting_what_is_shown(table, missing):
    """All sums that hold among the counts as a linear system: a count is found if nothing can move it (null space)."""
    made = description(table, missing)
    frame = made.suppress().frame
    told = {(s, q): (n, of) for s, q, n, of in frame.select("stratum", "quantity", "n", "denominator").iter_rows()}
    true = {(s, q): n for s, q, n in made.frame.select("stratum", "quantity", "n").iter_rows()}
    parts = [f"x = {level}: share" for level in "abc"] + ["x: missing"]
    cells = {key: i for i, key in enumerate(k for k in true if k[1] in parts)}
    sums = []
    for q in parts:
        sums.append({**{(f"s{i}", q): 1 for i in range(3)}, ("all", q): -1})
    for s in ("s0", "s1", "s2", "all"):
        known = any(told[s, q][1] is not None for q in parts[:3])
        whole = told[s, "courses"][1] is not None
        sums += [{(s, q): 1 for q in parts[:3]}] if known else []
        sums += [{(s, q): 1 for q in parts}] if whole else []
    system = np.zeros((len(sums), len(cells)))
    for line, terms in enumerate(sums):
        for key, sign in terms.items():
            system[line, cells[key]] = sign
    hidden = [key for key in cells if told[key][0] is None]
    free = null_space(system[:, [cells[key] for key in hidden]]) if hidden else np.zeros((0, 0))
    found = [key for key, moves in zip(hidden, free, strict=True) if not np.abs(moves).max(initial=0) > 1e-9]
    assert [key for key in found if 0 < true[key] < 5] == []


def test_counts_are_the_nearest_multiples_in_sentences_too():
    """By hand; a half goes up, so that five is no less than five."""
    assert [nearest(n, 5) for n in (0, 2, 3, 5, 7, 8, 12, 13)] == [0, 0, 5, 5, 5, 10, 10, 15]
    assert nearest(5, 10) == 10 and nearest(1, 3) == 0 and nearest(2, 3) == 3
    said = "1,184 courses were selected; 12 months: 33 patients were seen of day 365"
    assert in_multiples(said, 5) == "1,185 courses were selected; 12 months: 35 patients were seen of day 365"


def test_no_count_is_found_from_a_rounded_share_with_its_limits():
    """Every count of every denominator, with Clopper and Pearson's limits by scipy: none is told by a number of its own."""
    pairs = [(n, of) for of in range(20, 121) for n in range(5, of - 4)]
    n, of = np.array(pairs).T
    low, high = beta.ppf(0.025, n, of - n + 1), beta.ppf(0.975, n + 1, of - n)
    rows = [row(f"s{i}", "response", estimate=a / b, low=lo, high=hi, n=a, denominator=b)
            for i, ((a, b), lo, hi) in enumerate(zip(pairs, low, high, strict=True))]  # fmt: skip
    settings_ = {"strata": [{"code": "s0", "label": "s0"}], "question": "time_to_response"}
    flow = pl.DataFrame({"reason": ["courses", "selected"], "n": [12, 12]})
    made = rounded(Result("q", "t", frame_of(rows), settings_, flow, diagnostics_of([])), 5)
    told = defaultdict(set)
    for pair, numbers in zip(pairs, made.frame.drop("stratum").iter_rows(), strict=True):
        told[numbers].add(pair)
    inner = [fit for fit in told.values() if all(25 < b < 115 for _, b in fit)]
    assert min(len({a for a, _ in fit}) for fit in inner) > 1 and min(len({b for _, b in fit}) for fit in inner) > 1
    frame = made.frame
    assert (frame["n"] % 5).sum() == (frame["denominator"] % 5).sum() == 0 and made.attrition["n"].to_list() == [10, 10]
    again = frame["n"] / frame["denominator"]
    assert np.abs(frame["estimate"] - again).max() < 1e-9 and (frame["low"] <= frame["estimate"]).all()
    # One place more, and counts are found: the attack does attack.
    exact = defaultdict(set)
    for pair, share in zip(pairs, n / of, strict=True):
        exact[round(share, 4)].add(pair)
    assert min(map(len, exact.values())) == 1


def test_every_number_of_the_policy_stands_in_its_page_as_it_is():
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    values = {f.name: getattr(POLICY, f.name) for f in fields(Policy)}
    words = {"None": "off", "False": "no"}
    said = {k: ", ".join(v) if isinstance(v, tuple) else words.get(str(v), str(v)) for k, v in values.items()}
    assert {k: v.strip() for k, v in table.items()} == said


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/\S+\.py)`", PAGE)
    assert len(set(named)) > 8 and all((ROOT / name).exists() for name in named)


def test_no_module_has_a_threshold_of_its_own_and_the_command_shows_that_of_the_policy():
    from reports import asking, leaving

    of = {name: p.default for name, p in inspect.signature(leaving.rows).parameters.items()}
    assert (of["k"], of["least_diversity"]) == (POLICY.k, POLICY.least_diversity)
    assert inspect.signature(asking.reduce).parameters["smallest"].default == POLICY.smallest_cell
    modules = [p for folder in ("analysis", "reports") for p in (ROOT / folder).rglob("*.py")]
    own = [p.name for p in modules if re.search(r"smallest(?:: int(?: \| None)?)? = \d", p.read_text("utf-8"))]
    assert own == []


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"k": 1}, "hides nobody"),
        ({"least_diversity": 3}, "diversity of 3"),
        ({"round_counts": 11}, "multiples of 2 to 10"),
    ],
)
def test_a_policy_that_hides_nobody_is_refused(given_, said):
    with pytest.raises(UsageError, match=said):
        Policy(**given_)

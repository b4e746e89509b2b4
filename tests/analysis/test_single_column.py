"""Figures at one column's width: letters that can be read, no word on another, and where that fails no figure."""

import re

import pytest
from matplotlib.figure import Figure

from analysis import describe, figures, safety, time_to_response, trajectories
from analysis.single_column import SMALLEST, collisions, single_column, thin_counts


@pytest.mark.parametrize("question", [describe, time_to_response, trajectories, safety])
def test_a_figure_for_two_columns_becomes_one_for_one_column(six_programmes, question):
    wide = question(six_programmes.courses(programme="osteoarthritis")).plot()
    told = re.findall(r">([^<>]+)</text>", figures.svg_file(wide, "f"))
    narrow = single_column(wide)
    text = figures.svg_file(narrow, "f")
    # 86 mm are 244 points.
    assert re.search(r'<svg [^>]*width="244pt"', text) and narrow.alt_text
    sizes = {float(s) for s in re.findall(r"font[^;\">]*?([\d.]+)px", text)}
    assert sizes and min(sizes) >= SMALLEST and max(sizes) <= 7
    # No word is lost but counts and ticks that had no room, and titles that take two lines.
    lost = {w for t in told if not re.fullmatch(r"[\d,./·−-]+( %)?", t) for w in t.split()} - set(
        re.sub("<[^>]+>", " ", text).split()
    )
    assert not lost


def test_counts_that_would_lie_on_each_other_leave_with_their_tick_and_the_curve_stays(six_programmes):
    figure = trajectories(six_programmes.courses(programme="osteoarthritis")).plot()
    before = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    drawn = [len(line.get_xdata()) for line in figure.axes[0].get_lines()]
    single_column(figure)
    after = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert before[:3] == ["0", "1", "3"] and {"1", "6", "12", "24"} <= set(after) < set(before)
    assert [len(line.get_xdata()) for line in figure.axes[0].get_lines()] == drawn


def test_a_figure_whose_words_cannot_stand_apart_is_not_made_and_one_that_runs_off_neither():
    on_each_other, off, fine = (Figure(figsize=(7.2, 4), layout="constrained") for _ in range(3))
    for x in (0.4, 0.42):
        on_each_other.subplots().text(x, 0.5, "some words")
    off.text(0.9, 0.5, "words that are far too long for it")
    fine.subplots().text(0.4, 0.5, "some words")
    assert single_column(on_each_other) is None and single_column(off) is None
    assert ("words that are far too long for it", "") in collisions(off)
    assert single_column(fine) is fine


def test_in_a_language_of_long_names_counts_still_stand_apart(six_programmes):
    figure = trajectories(six_programmes.courses(programme="osteoarthritis")).plot()
    for text in (t for axes in figure.axes for t in axes.texts):
        named = "-on-bone" in text.get_text()
        text.set_text("Gelenkspalt vollständig aufgehoben" if named else re.sub(r"\d+", "1,234", text.get_text()))
    figure.draw_without_rendering()
    assert collisions(figure)
    thin_counts(figure)
    figure.draw_without_rendering()
    assert not collisions(figure) and sum(t.get_visible() for t in figure.axes[-1].texts) > 12

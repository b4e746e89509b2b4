"""The cohort explorer in a notebook: lists to choose from on the left, what was asked on the right, the code below.

A thin view: every number comes from :mod:`analysis.explorer`. Labels belong to their fields, so that it can be used by
keyboard and read aloud; what goes wrong is said in a sentence where the status stands. Nothing is fetched.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any, cast, get_args

from analysis import figures
from analysis.cohort import By, Confirmation
from analysis.explorer import SELECTED_BY, Choice, Explorer, Look, View, settle
from analysis.result import Result
from registry import Courses, Registry
from registry.errors import CatamnesisError, UsageError, of_engine

# An option whose value is None would show as an empty list: nothing chosen is the empty text.
_ALL = ("all", "")
_HORIZONS = (("6 months", 183), ("12 months", 365), ("24 months", 730), ("36 months", 1096), ("60 months", 1826))
_VIEWS = (("Response", "response"), ("States", "states"), ("Trajectories", "trajectories"))
_CONFIRMATIONS = {"confirmed": "confirmed by the next visit", "first": "first crossing"}


def explore(registry: Registry) -> ExplorerView:
    """Open the cohort explorer of a registry in a notebook cell.

    Choose programme, site, diagnosis, stage, cell source, product, dose, centre, potential follow-up, definition and
    horizon; see who is left and why, the response by stage with the numbers at risk, states from visit to visit, and
    trajectories. The cell that reproduces what is shown stands below, and what was chosen can be used in the next cell.

    Parameters
    ----------
    registry
        From :meth:`registry.Registry.open`.

    Returns
    -------
    ExplorerView
        Shown by the cell. ``.courses`` is the selection, ``.result`` the answer, ``.code`` the cell that makes it.

    Raises
    ------
    UsageError
        When ipywidgets is not installed.
    NotEstimable
        When the registry has no course.

    Examples
    --------
    >>> ex = explore(reg)
    >>> ex.courses.flow()["reason"][-1]
    'selected'
    """
    return ExplorerView(Explorer(registry))


class ExplorerView:
    """The widgets of the explorer.

    Attributes
    ----------
    model
        What answers.
    box
        The widget as shown.
    seen
        The last answer, or None where the last choice has none.
    """

    def __init__(self, model: Explorer):
        self.model = model
        self.seen: Look | None = None
        self._w = _widgets()
        self._busy = True
        self._programme = self._list("Programme", [(label, code) for code, label in model.programmes().items()])
        self._lists = {name: self._list(label, [_ALL]) for name, label in SELECTED_BY.items()}
        self._follow_up = self._w.BoundedIntText(
            value=0, min=0, max=36_525, step=30, description="Follow-up ≥", style=_STYLE, layout=_FULL,
            tooltip="Days from the first session to the data cut, whoever came back",
        )  # fmt: skip
        self._definition = self._list("Response", [_ALL])
        self._confirmation = self._list("Counted", [(_CONFIRMATIONS[c], c) for c in get_args(Confirmation)])
        self._by = self._list("By", [(b.replace("_", " "), b) for b in get_args(By)])
        self._horizon = self._list("Horizon", list(_HORIZONS), 730)
        self._scale = self._list("Score", [_ALL])
        self._limits = self._w.Checkbox(
            value=False, description="95 % limits always (slower)", indent=False, layout=_FULL
        )
        self._view = self._w.ToggleButtons(options=list(_VIEWS), description="Show", style={"description_width": "3em"})
        self._status, self._shown, self._flow = (self._w.HTML() for _ in range(3))
        self._code = self._w.Textarea(description="As a cell", rows=8, style=_STYLE, layout={"width": "auto"})
        self.box = self._laid_out()
        self._offer()
        for field in self._fields():
            field.observe(self._changed, names="value")
        self._busy = False
        self._update()

    @property
    def choice(self) -> Choice:
        """What is chosen now."""
        return Choice(
            programme=self._programme.value, min_potential_follow_up_day=self._follow_up.value,
            definition=self._definition.value or None, confirmation=self._confirmation.value, by=self._by.value,
            scale=self._scale.value or None, horizon_day=self._horizon.value, limits=self._limits.value,
            **{name: field.value or None for name, field in self._lists.items()},
        )  # fmt: skip

    @property
    def view(self) -> View:
        """Which question is shown."""
        return cast(View, self._view.value)

    @property
    def courses(self) -> Courses:
        """The courses chosen, for the next cell."""
        return self.model.registry.courses(**self.choice.selection)

    @property
    def result(self) -> Result:
        """The answer shown.

        Raises
        ------
        UsageError
            When the last choice has none.
        """
        if self.seen is None:
            raise UsageError("The last choice has no answer; the explorer says why.")
        return self.seen.result

    @property
    def code(self) -> str:
        """The cell that reproduces what is shown."""
        return self.model.code(self.choice, self.view)

    def __repr__(self) -> str:
        return f"Explorer of {self.model.registry.path.name}: {self.choice.selection}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.box._repr_mimebundle_(**options)

    def _list(self, label: str, options: list[Any], value: Any = None) -> Any:
        chosen = options[0][1] if value is None else value
        return self._w.Dropdown(options=options, value=chosen, description=label, style=_STYLE, layout=_FULL)

    def _fields(self) -> list[Any]:
        own = [self._follow_up, self._definition, self._confirmation, self._by, self._horizon, self._scale]
        return [self._programme, *self._lists.values(), *own, self._limits, self._view]

    def _laid_out(self) -> Any:
        registry = self.model.registry
        head = self._w.HTML(f"<b>{escape(registry.path.name)}</b>, data to {registry.data_cut}{_OWN_KEYS}")
        left = self._w.VBox([head, *self._fields()[:-1], self._flow], layout={"width": "25em", "flex": "0 0 25em"})
        right = self._w.VBox([self._view, self._status, self._shown], layout={"flex": "1 1 auto", "min_width": "20em"})
        top = self._w.HBox([left, right], layout={"align_items": "flex-start"})
        return self._w.VBox([top, self._code])

    def _offer(self) -> None:
        """Fill the lists with what the programme has; what it does not have goes back to all."""
        programme = self._programme.value
        values = self.model.values(programme)
        choice = settle(replace(self.choice, programme=programme), values)
        for name, field in self._lists.items():
            field.options = [_ALL, *((f"{v.replace('_', ' ')} ({n:,})", v) for v, n in values[name])]
            field.value = getattr(choice, name) or ""
        own = [(f"{d} ({label})", d) for d, label in self.model.definitions(programme).items()]
        self._definition.options = [("the programme's own", ""), *own]
        self._scale.options = [("the programme's first", ""), *((d, d) for d in self.model.domains(programme))]

    def _changed(self, change: Any) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if change.owner is self._programme:
                self._offer()
            self._update()
        finally:
            self._busy = False

    def _update(self) -> None:
        """Answer what is chosen; where that cannot be done, say why in the status line, and show nothing."""
        self._status.value = "<div role='status' aria-live='polite'>Working …</div>"
        try:
            self.seen = self.model.look(self.choice, self.view)
        except CatamnesisError as error:
            self._say_why_not(str(error))
        except Exception as error:  # a notebook must not show a traceback for a click
            said = of_engine(error) or f"This could not be computed ({type(error).__name__}: {error})."
            self._say_why_not(f"{said} The cell below shows more when it is run.")
        else:
            self._show(self.seen)
        self._code.value = self.code

    def _say_why_not(self, text: str) -> None:
        self.seen = None
        self._status.value = f"<div role='alert'><b>Not shown.</b> {escape(text)}</div>"
        self._shown.value = ""

    def _show(self, look: Look) -> None:
        used = look.result.attrition["n"][-1]
        said = f"{len(look.courses):,} of {look.courses.attrition.height:,} courses chosen, {used:,} used"
        self._status.value = (
            f"<div role='status' aria-live='polite'>{said}; {look.seconds:.1f} s. {escape(look.quick)}</div>"
        )
        width = round(96 * look.figure.get_size_inches()[0])
        notes = "".join(f"<li>{escape(n)}</li>" for n in look.result.notes)
        self._shown.value = (
            f"<figure style='margin:0;max-width:{width}px'>{figures.svg(look.figure, 'explorer')}"
            f"<figcaption><b>{escape(look.result.title)}</b></figcaption></figure>"
            f"<ul style='line-height:1.4;max-width:{width}px'>{notes}</ul>"
            f"<details><summary>Numbers</summary>{look.result._repr_html_()}</details>"
        )
        self._flow.value = _flow_table(look.result)


def _flow_table(result: Result) -> str:
    cell = "style='text-align:left;white-space:normal'"
    rows = "".join(f"<tr><td {cell}>{escape(r)}</td><td>{n:,}</td></tr>" for r, n in result.attrition.iter_rows())
    return (
        f"<table style='line-height:1.4'><caption style='text-align:left'>Who is left, and why</caption>{rows}</table>"
    )


# JupyterLab takes the arrows and letters of a list that has the focus for its own commands (next cell, delete cell)
# unless the list itself says that keys are its own. Widgets cannot set that; an image that fails to load can.
_OWN_KEYS = """<img alt="" hidden src="data:," onerror="let tries = 0; const own = () => {
    const around = this.closest('.jp-OutputArea-output');
    if (!around) return tries++ < 50 && setTimeout(own, 200);
    const mark = field => field.setAttribute('data-lm-suppress-shortcuts', 'true');
    around.addEventListener('focusin', event => mark(event.target));
    mark(around);
}; own()">"""
_STYLE = {"description_width": "8.5em"}
_FULL = {"width": "98%"}


def _widgets() -> Any:
    try:
        import ipywidgets
    except ImportError:
        raise UsageError("The explorer needs ipywidgets: pip install 'catamnesis[lab]'.") from None
    return ipywidgets

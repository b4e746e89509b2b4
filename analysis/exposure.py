"""What a course was given, as against who was treated: nobody was randomised to it, and a comparison by it says so."""

from __future__ import annotations

# Columns of course.profile that somebody chose for the patient, and strata made of them, in words.
EXPOSURES = {
    "origin": "cell source",
    "origin_by_stage": "cell source",
    "donor": "donor",
    "product": "product",
    "separation": "separation of cells",
    "expanded": "expansion in culture",
    "same_day": "processing on the day of use",
    "viability": "viability of the cells",
    "route": "route",
    "guidance": "guidance",
    "dose": "dose",
    "dose_band": "dose",
}


def exposure_note(*names: str) -> tuple[str, ...]:
    """Return the notes that a comparison by `names` needs: one for each that was chosen, none for what a patient is.

    Parameters
    ----------
    names
        What separates the strata (``by``), and covariates whose effects are told: columns of ``course.profile``.

    Examples
    --------
    >>> exposure_note("stage", "age")
    ()
    >>> exposure_note("route")[0]
    'Nobody was randomised to the route: whoever chose it had reasons, ...'
    """
    return tuple(
        f"Nobody was randomised to the {what}: whoever chose it had reasons, and reasons that are not adjusted for may "
        "explain a difference."
        for what in dict.fromkeys(EXPOSURES[n] for n in names if n in EXPOSURES)
    )

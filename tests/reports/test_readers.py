"""Names of the code in a reader's words."""

import pytest

from reports.readers import readable

STRATA = [{"code": "early", "label": "Early"}, {"code": "bone_on_bone", "label": "Bone-on-bone"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bone_on_bone: never seen and left out of the model: response_lost → in_response",
         "Bone-on-bone: never seen and left out of the model: response lost → in response"),
        ("No stratum has enough: early: fewer than 10 boosts; bone_on_bone: fewer than 10 boosts",
         "No stratum has enough: Early: fewer than 10 boosts; Bone-on-bone: fewer than 10 boosts"),
        ("certificate of bone_on_bone", "certificate of Bone-on-bone"),
        ("Taken as random within levels of what was known: best, log_since_session, bmi: not recorded, site: knee",
         "Taken as random within levels of what was known: best improvement so far, time since the last session, "
         "body-mass index: not recorded, site: knee"),
        ("visits too early are ignored", "visits too early are ignored"),
    ],
    ids=["states", "a list of strata", "a check", "covariates", "a word that is a code too"],
)  # fmt: skip
def test_codes_become_labels_and_names_become_words(text, told):
    assert readable(text, STRATA) == told

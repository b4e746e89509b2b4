"""Disclosure control, all of it: what may leave the registry, and what is hidden, made coarse or refused before.

`policy`
    Every threshold, in one object.
`suppression`, `complementary`, `names`, `rounding`
    Results: small cells hidden, what would give them away hidden too, names of few replaced, counts rounded.
`parts`, `messages`
    Counts in text: parts of totals, shares, reasons.
`small_counts`
    Counts of a centre for pooling: joined, or rounded at random.
`anonymity`, `proxies`, `date_shift`
    Rows of patients: k-anonymity and l-diversity, what says elsewhere a value taken away, dates moved.
`beside`, `log`
    Rows beside tables of the same courses; what was done to each file.
"""

from analysis.disclosure.parts import share, shown, total
from analysis.disclosure.policy import HIDDEN, POLICY, Policy

__all__ = ["HIDDEN", "POLICY", "Policy", "share", "shown", "total"]

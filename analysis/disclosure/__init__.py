"""Disclosure control, all of it: what may leave the registry, and what is hidden, made coarse or refused before.

`policy`
    Every threshold, in one object.
`suppression`, `complementary`, `names`
    Results: small cells hidden, what would give them away hidden too, names of few replaced.
`parts`, `messages`
    Counts in text: parts of totals, shares, reasons.
`small_counts`
    Counts of a centre for pooling: joined, or rounded at random.
`anonymity`, `proxies`, `date_shift`
    Rows of patients: k-anonymity and l-diversity, what says elsewhere a value taken away, dates moved.
"""

from analysis.disclosure.parts import share, shown, total
from analysis.disclosure.policy import POLICY, Policy

__all__ = ["POLICY", "Policy", "share", "shown", "total"]

"""Patients whose truth is known, and the files their clinics would send."""

from synthetic.simulate import Design, Synthetic, all_programmes, simulate

__all__ = ["Design", "Synthetic", "all_programmes", "simulate"]

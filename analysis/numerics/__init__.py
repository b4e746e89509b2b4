"""Estimators on arrays: no registry, no database, no data frames. Inputs are reduced counts or cross-products."""

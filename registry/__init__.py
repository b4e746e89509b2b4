"""What was collected, kept as collected: the record, its catalogues, loading, and the SQL derived from it."""

from registry.courses import Courses
from registry.errors import CatamnesisError
from registry.store import Registry, derive

__all__ = ["CatamnesisError", "Courses", "Registry", "derive"]

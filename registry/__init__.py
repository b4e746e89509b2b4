"""What was collected, kept as collected: the record, its catalogues, loading, and the SQL derived from it."""

from registry.courses import Courses
from registry.derivation import derive
from registry.errors import CatamnesisError
from registry.store import Registry

__all__ = ["CatamnesisError", "Courses", "Registry", "derive"]

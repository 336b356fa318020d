"""A DuckDB relation that is evaluated again, without the files that turn out to be broken.

Compacted files are believed, and not read through before their use. DuckDB notices a damaged page when a query needs
it, and then fails as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation


class RetriedRelation:
    """A relation with the methods of DuckDB's, which return relations of this kind, and results.

    Args:
        make: makes the relation, on a connection of its own.
        mend: looks for files that fail the query; whether `make` would leave any of them out now.
    """

    def __init__(self, make: Callable[[], DuckDBPyRelation], mend: Callable[[], bool]) -> None:
        self._make, self._mend = make, mend
        self._times_made = 0
        self._relation = self._attempt(make)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._relation, name)
        return self._method(name) if callable(found) else found

    def __len__(self) -> int:
        return self._method("__len__")()

    def _method(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            from duckdb import DuckDBPyRelation

            seen = self._times_made

            def derive() -> Any:
                nonlocal seen
                seen = self._times_made
                return getattr(self._relation, name)(*arguments, **options)

            found = self._attempt(derive)
            if not isinstance(found, DuckDBPyRelation):
                return found
            return RetriedRelation(derive, lambda: self._times_made != seen or self._make_again())

        return call

    def _make_again(self) -> bool:
        """Make the relation again if a file is broken; those that were derived from it follow."""
        if not self._mend():
            return False
        self._relation = self._attempt(self._make)
        self._times_made += 1
        return True

    def _attempt(self, evaluate: Callable[[], Any]) -> Any:
        while True:
            try:
                return evaluate()
            except Exception as error:  # DuckDB raises its own errors and others, such as UnicodeDecodeError
                if _has_another_reason(error) or not self._make_again():
                    raise


def _has_another_reason(error: Exception) -> bool:
    """Whether the reason is the query, the store or this process, and no file."""
    import duckdb

    reasons = (
        SlipwayError,
        OSError,
        duckdb.BinderException,
        duckdb.CatalogException,
        duckdb.ParserException,
        duckdb.OutOfMemoryException,
        duckdb.InterruptException,
    )
    return isinstance(error, reasons)

"""``dataclasses.replace`` for records of many fields, which changes are made of: as strictly typed, at a sixth of its cost."""

from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["replace"]

if TYPE_CHECKING:
    # So that mypy checks each change against the fields.
    from dataclasses import replace
else:
    _Record = TypeVar("_Record")

    def replace(record: _Record, /, **changes: Any) -> _Record:
        """The same with some fields changed. For frozen dataclasses without slots and ``__post_init__``."""
        changed = object.__new__(type(record))
        vars(changed).update(vars(record), **changes)
        return changed

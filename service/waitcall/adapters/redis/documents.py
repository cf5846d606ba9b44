"""Reading of stored documents as records."""

from waitcall.adapters.redis.codec import decode
from waitcall.adapters.redis.connection import Connection
from waitcall.application.ports import Stored
from waitcall.domain.errors import RecordUnreadable

RETRY_UNREADABLE_SECONDS = 60
"""``retry_after`` for an unreadable record. During an upgrade, a replica with another version may be able to read it."""


def stored_from(connection: Connection, verification_id: str, document: bytes | None) -> Stored | None:
    """Decode the document of an id. Return None if there is no document.

    Raises:
        RecordUnreadable: it cannot be decoded. ``connection`` counts and logs it.
    """
    if document is None:
        return None
    try:
        record = decode(document)
        if record.id != verification_id:
            raise ValueError("The record has another id.")  # noqa: TRY301  handled like any other unreadable record
    except Exception as error:
        connection.unreadable("record", error)
        raise RecordUnreadable(retry_after=RETRY_UNREADABLE_SECONDS) from error
    return Stored(record, document)


def stored_or_error(
    connection: Connection, verification_id: str, document: bytes | None
) -> Stored | Exception | None:
    """Decode the document of an id. Return the exception instead of raising it if the document is unreadable."""
    try:
        return stored_from(connection, verification_id, document)
    except RecordUnreadable as error:
        return error

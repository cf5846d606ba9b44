"""Stored documents as records."""

from service.adapters.redis.codec import decode
from service.adapters.redis.connection import Connection
from service.application.ports import Stored
from service.domain.errors import RecordUnreadable

RETRY_UNREADABLE_SECONDS = 60
"""While versions are mixed, another process may answer sooner."""


def stored_from(connection: Connection, verification_id: str, document: bytes | None) -> Stored | None:
    """Read the document that stood under an id; None where there was none.

    Raises:
        RecordUnreadable: counted by ``connection``.
    """
    if document is None:
        return None
    try:
        record = decode(document)
        if record.id != verification_id:
            raise ValueError("The record of another id.")  # noqa: TRY301  as unreadable as the others
    except Exception as error:
        connection.unreadable("record", error)
        raise RecordUnreadable(retry_after=RETRY_UNREADABLE_SECONDS) from error
    return Stored(record, document)


def stored_or_error(
    connection: Connection, verification_id: str, document: bytes | None
) -> Stored | Exception | None:
    """Read a document; one that cannot be read is returned as the exception that it raised."""
    try:
        return stored_from(connection, verification_id, document)
    except RecordUnreadable as error:
        return error

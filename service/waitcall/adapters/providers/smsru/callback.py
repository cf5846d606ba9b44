"""Decoder of sms.ru's callbacks: batches of up to 100 entries, accepted only with the right hash over all entries.

Source: docs/providers/smsru.md. The hash covers the account's key and the entries in their order, but no time. A replayed
batch does no harm, because an entry names one order, and an order proves one verification once.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from waitcall.adapters.providers.callback_form import FormUnreadable, read_form
from waitcall.adapters.providers.smsru.client import NAME, ORDER_ID, STATUSES
from waitcall.domain.channel import ProviderOrder
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import Kind, OrderReport, OtherMessage, Outcome

MOST_ENTRIES = 100
_UNREADABLE = OtherMessage(Kind.CALL, Outcome.MALFORMED)
_ENTRY = re.compile(r"data(\[\w*\])?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)


class SmsruCallbackDecoder:
    """Decoder that checks the hash in constant time, then reads each entry."""

    def __init__(self, api_ids: Sequence[str]) -> None:
        """
        Args:
            api_ids: the account's key, then a second key that is accepted while the key rotates.

        Raises:
            ValueError: no key is given, so no hash could be checked.
        """
        if not api_ids:
            raise ValueError("An api_id is required.")
        self._api_ids = [each.encode() for each in api_ids]

    def decode(self, body: bytes, content_type: str = "") -> list[OrderReport | OtherMessage]:
        """Read one request of the provider.

        An unreadable entry does not affect the others: they count, and the batch is acknowledged.

        Args:
            body: the raw body, a form.
            content_type: the header; it is used for a multipart form only.

        Raises:
            CallbackMalformed: the body is not a form, has too many entries, or has only unreadable ones.
            CallbackRejected: the hash is wrong or missing.
        """
        try:
            given = read_form(body, content_type)
        except FormUnreadable as error:
            raise CallbackMalformed(str(error)) from error
        entries = [value for name, value in given if _ENTRY.fullmatch(name)]
        if not self._authentic(entries, [value for name, value in given if name == "hash"]):
            raise CallbackRejected(Kind.UNKNOWN)
        if len(entries) > MOST_ENTRIES:
            raise CallbackMalformed(f"At most {MOST_ENTRIES} entries are allowed.")
        read = [_read(entry) for entry in entries]
        if read and all(each == _UNREADABLE for each in read):
            raise CallbackMalformed("An order's id, its status and a time are expected.", Kind.CALL)
        return read

    def _authentic(self, entries: Sequence[str], hashes: Sequence[str]) -> bool:
        if len(hashes) != 1:
            return False
        message, claimed = "".join(entries).encode("latin-1"), hashes[0].lower().encode("latin-1")
        accepted = False
        for api_id in self._api_ids:
            for spelling in _line_ends(message):
                accepted |= hmac.compare_digest(sha256(api_id + spelling).hexdigest().encode(), claimed)
        return accepted


def _line_ends(message: bytes) -> Iterable[bytes]:
    """Return the message as it came and with either line end, because senders and proxies of multipart forms change them."""
    plain = message.replace(b"\r\n", b"\n")
    return dict.fromkeys((message, plain, plain.replace(b"\n", b"\r\n")))


def _read(entry: str) -> OrderReport | OtherMessage:
    kind, *lines = entry.replace("\r\n", "\n").split("\n")
    if kind == "sms_status":
        return OtherMessage(Kind.STATUS)
    if kind != "callcheck_status":
        return OtherMessage(Kind.UNKNOWN)
    order_id, status, at = (*lines, "", "", "")[:3]
    if not ORDER_ID.fullmatch(order_id) or not _WHOLE.fullmatch(status) or not _WHOLE.fullmatch(at):
        return _UNREADABLE
    known = STATUSES.get(int(status))
    if known is None:
        return OtherMessage(Kind.CALL)
    return OrderReport(ProviderOrder(NAME, order_id), known, datetime.fromtimestamp(int(at), UTC))

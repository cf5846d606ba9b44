"""SMSC's inbox and balance: get.php and balance.php (smsc-api.md, sections 3 and 7)."""

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from waitcall.adapters.providers.smsc.call_mark import is_marked
from waitcall.adapters.providers.smsc.query import ProviderQuery, Unreadable, document, error_code
from waitcall.adapters.providers.transport import Account, ProviderMetrics
from waitcall.application.reconcile_inbox import PAGE, InboxRecord
from waitcall.domain.matching import InboundText

_HOURS = 1
_PHONE = re.compile(r"\+?([0-9]{1,15})", re.ASCII)
_DATE = "%d.%m.%Y %H:%M:%S"


class SmscInbox:
    """Inbox and Balance for an account at SMSC."""

    def __init__(self, account: Account, metrics: ProviderMetrics) -> None:
        self._query = ProviderQuery(account, metrics)

    def after(self, record_id: int | None) -> list[InboxRecord]:
        """Return the records of the last hour that follow ``record_id``, oldest first; at most ``PAGE``.

        Raises:
            ProviderFailure
        """
        fields = {"get_answers": "1", "hour": str(_HOURS), "cnt": str(PAGE)}
        if record_id is not None:
            fields["after_id"] = str(record_id)
        return self._query.ask("get_answers", "get.php", fields, read_inbox)

    def balance(self) -> Decimal:
        """Return the account's balance, in the account's currency.

        Raises:
            ProviderFailure
        """
        return self._query.ask("balance", "balance.php", {}, read_balance)

    def close(self) -> None:
        """Close the connections."""
        self._query.close()


def read_inbox(body: bytes) -> list[InboxRecord] | int:
    """Read the records, or an error code. Unreadable records are left out, so that they do not hold up the others."""
    answer = document(body)
    if isinstance(answer, dict):
        return error_code(answer)
    if not isinstance(answer, list):
        raise Unreadable
    records = [_record(each) for each in answer]
    return sorted((each for each in records if each is not None), key=lambda each: each.id)


def read_balance(body: bytes) -> Decimal | int:
    """Read the balance, or an error code."""
    answer = document(body)
    if not isinstance(answer, dict):
        raise Unreadable
    if "balance" not in answer:
        return error_code(answer)
    try:
        money = Decimal(str(answer["balance"]).strip().replace(",", "."))
    except InvalidOperation as error:
        raise Unreadable from error
    if not money.is_finite():
        raise Unreadable
    return money


def _record(given: Any) -> InboxRecord | None:
    if not isinstance(given, dict):
        return None
    try:
        record_id = int(given.get("id", ""))
    except (TypeError, ValueError):
        return None
    text = str(given.get("message", "")).strip()
    phone = _PHONE.fullmatch(str(given.get("phone", "")).strip())
    dialled = _PHONE.fullmatch(str(given.get("to_phone") or "").strip())
    is_call = is_marked(text)
    sent, received = _wall_time(given.get("sent")), _wall_time(given.get("received"))
    return InboxRecord(
        id=record_id,
        cli=f"+{phone[1]}" if phone and is_call else None,
        dialled=f"+{dialled[1]}" if dialled else None,
        wall_time=sent or received,
        text=InboundText(f"+{phone[1]}", f"+{dialled[1]}", text)
        if phone and dialled and not is_call
        else None,
        received=received,
        message=text if is_call else "",
    )


def _wall_time(text: Any) -> datetime | None:
    try:
        # The result has no offset, because the time zone of the provider's dates is unknown.
        return datetime.strptime(str(text).strip(), _DATE)  # noqa: DTZ007  as above
    except ValueError:
        return None

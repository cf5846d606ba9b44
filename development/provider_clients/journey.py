"""Use each call of the packages smsc and smsc-client, and print the answers as one JSON object.

The clients name the provider's host as a constant, so the simulator's URL takes its place.
"""

import json
import sys

# Behind the standard library, because one of the packages may bring a module named typing.
sys.path.append(sys.argv[2])

from smsc import SMSC, FlashMessage, SMSMessage  # type: ignore[import-not-found]  # from make provider-clients
from smsc_client.api import SMSCAPI  # type: ignore[import-not-found]  # from make provider-clients


def main(url: str) -> None:
    """Send messages, and ask for their costs and states, and for the balance."""
    SMSC._url = url  # noqa: SLF001  it has no setting for the URL
    client = SMSC("sim", "sim-password", "Us")
    price = client.get_cost(["+79991234567", "89991234568"], SMSMessage("Привет"))
    sent = client.send(["+79991234567", "89991234568"], SMSMessage("Привет"))
    again = client.send(["+79991234567", "89991234568"], SMSMessage("Привет"))
    flash = client.send("79991234567", FlashMessage("Flash"))
    one, two = client.get_status(["79991234567", "79991234568"], [str(sent.message_id)] * 2)
    (alone,) = client.get_status("79991234567", str(flash.message_id))
    balance = client.get_balance()
    other = SMSCAPI("sim", "sim-password")
    other._domain = url.removesuffix("sys/")  # noqa: SLF001  as above
    text = other.default.send(phones="+79991234567", mes="text", id=77, sender="Us")
    told = {
        "price": [price.count, price.cost, price.error],
        "sent": [sent.message_id, sent.count, sent.cost, sent.error],
        "again": again.error,
        "statuses": [[each.status.status_id, each.status.name, each.data["message"]] for each in (one, two)],
        "phones": [each.data["phone"] for each in (one, two)],
        "flash": [alone.data["message"], alone.data["operator"], str(alone.data["last_date"].utcoffset())],
        "balance": [balance.balance, balance.currency],
        "text": [text.OK, text.ID],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])

"""Command line of the simulator: ``python -m simulator``."""

import argparse
import signal
import time

from simulator.dialler import Handler
from simulator.exchange import Account
from simulator.fixed import read_fixed
from simulator.own_numbers import Trunk
from simulator.server import Options, Simulator
from simulator.smsru import SmsruAccount


def read_example(text: str) -> tuple[str, str]:
    """Read ``NAME=URL``, and return both.

    Raises:
        ValueError: the text has another form.
    """
    name, _, url = text.partition("=")
    if not name or not url.startswith(("http://", "https://")):
        raise ValueError("Write NAME=URL with an http(s) URL.")
    return name, url


def main() -> None:
    """Run the simulator until SIGINT or SIGTERM. Print its URLs first."""
    parser = argparse.ArgumentParser(
        prog="simulator", description="Emulate the providers. Not for production."
    )
    parser.add_argument(
        "--handler", default="http://127.0.0.1:8081/callbacks/smsc", help="handler URL registered at smsc"
    )
    parser.add_argument("--secret", default="dev-callback-secret", help="secret of that handler")
    parser.add_argument("--hash", default="sha1", choices=["md5", "sha1", "crc32"])
    parser.add_argument("--form", default="form", choices=["form", "xml", "json"])
    parser.add_argument("--charset", default="utf-8", choices=["windows-1251", "utf-8", "koi8-r"])
    parser.add_argument("--apikey", default="dev-smsc-apikey")
    parser.add_argument("--smsru-handler", default="", help="handler URL registered at sms.ru; none if empty")
    parser.add_argument("--smsru-api-id", default="dev-smsru-api-id-1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--front-port", type=int, default=0, help="port of the providers; 0 takes a free port"
    )
    parser.add_argument(
        "--control-port",
        type=int,
        default=0,
        help="port of the control API and the handset; 0 takes a free port",
    )
    parser.add_argument("--seed", type=int, help="seed of the random numbers, to repeat a run")
    parser.add_argument(
        "--calm", action="store_true", help="send no callback twice or late unless the request says so"
    )
    parser.add_argument(
        "--deliver-after", type=float, help="report each message delivered after this many seconds"
    )
    parser.add_argument(
        "--test-number",
        type=read_fixed,
        action="append",
        default=[],
        metavar="NUMBER=OUTCOME[:SECONDS]",
        help="number that always calls (verified), never calls (expired), or whose orders fail (failed)",
    )
    parser.add_argument(
        "--rented",
        action="append",
        default=[],
        metavar="NUMBER",
        help="dedicated number that the account rents already; may be repeated",
    )
    parser.add_argument(
        "--example",
        type=read_example,
        action="append",
        default=[],
        metavar="NAME=URL",
        help="example to which the handset links; may be repeated",
    )
    parser.add_argument(
        "--own",
        type=Trunk.parse,
        action="append",
        default=[],
        metavar="DIALECT;NUMBERS;URL;SECRET[;ACCOUNT[;FALLBACK]]",
        help="numbers of the service's own, whose calls are reported as sip, twilio, telnyx (Call Control) or texml; may be repeated",
    )
    parser.add_argument(
        "--expose", action="store_true", help="allow --host to be an address other than loopback"
    )
    given = parser.parse_args()
    options = Options(
        handler=Handler(given.handler, given.secret, given.hash, given.form, given.charset),
        account=Account("dev-login", "dev-password", given.apikey),
        smsru=SmsruAccount(given.smsru_api_id, given.smsru_handler),
        host=given.host,
        front_port=given.front_port,
        control_port=given.control_port,
        seed=given.seed,
        calm=given.calm,
        expose=given.expose,
        deliver_after=given.deliver_after,
        test_numbers=dict(given.test_number),
        examples=dict(given.example),
        own=given.own,
        rented=[each.lstrip("+") for each in given.rented],
    )
    # The handlers only note the signal. Setting an event there could wait for ever for the event's lock.
    signals: list[int] = []
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: signals.append(number))
    try:
        simulator = Simulator(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    with simulator:
        print(
            f"provider: {simulator.base_url}\nsmsru:    {simulator.smsru_url}\ncontrol:  {simulator.control_url}",
            flush=True,
        )
        while not signals:
            time.sleep(0.1)


if __name__ == "__main__":
    main()

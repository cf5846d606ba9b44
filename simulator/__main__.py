"""python -m simulator"""

import argparse
import signal
import threading

from simulator.dialler import Handler
from simulator.exchange import Account
from simulator.server import Options, Simulator
from simulator.smsru import SmsruAccount


def main() -> None:
    """Run until interrupted; print where the doors are."""
    parser = argparse.ArgumentParser(
        prog="simulator", description="The provider, emulated. Not for production."
    )
    parser.add_argument(
        "--handler", default="http://127.0.0.1:8081/callbacks/smsc", help="the registered handler URL"
    )
    parser.add_argument("--secret", default="dev-callback-secret", help="the handler's secret")
    parser.add_argument("--hash", default="sha1", choices=["md5", "sha1", "crc32"])
    parser.add_argument("--form", default="form", choices=["form", "xml", "json"])
    parser.add_argument("--charset", default="utf-8", choices=["windows-1251", "utf-8", "koi8-r"])
    parser.add_argument("--apikey", default="dev-smsc-apikey")
    parser.add_argument(
        "--smsru-handler", default="", help="the handler URL registered at the other provider"
    )
    parser.add_argument("--smsru-api-id", default="dev-smsru-api-id-1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--front-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--seed", type=int, help="repeat the dice")
    parser.add_argument("--calm", action="store_true", help="no duplicates or delays unless asked for")
    parser.add_argument(
        "--deliver-after", type=float, help="seconds after which each message is reported delivered"
    )
    parser.add_argument("--expose", action="store_true", help="allow a host outside loopback")
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
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        simulator = Simulator(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    with simulator:
        print(
            f"provider: {simulator.base_url}\nsmsru:    {simulator.smsru_url}\ncontrol:  {simulator.control_url}",
            flush=True,
        )
        # A signal may reach another thread, which wakes nobody here.
        while not ended.wait(0.5):
            pass


if __name__ == "__main__":
    main()

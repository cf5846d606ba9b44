"""Use cases that the command line needs beside the operator's."""

from dataclasses import dataclass

from service import __version__
from service.adapters.redis.probe import Examined
from service.adapters.smsc.cabinet import SmscCabinet
from service.adapters.smsc.inbox import SmscInbox
from service.adapters.smsru.client import SmsruProvider
from service.adapters.telemetry.metrics import Metrics
from service.adapters.telemetry.observer import LoggingObserver
from service.application.account import AccountDesk
from service.application.channels import Channels
from service.application.inbox import Balance, Inbox
from service.application.lookup import Lookup
from service.application.verifications import Verifications
from service.bootstrap.core import Core, utc_now
from service.bootstrap.use_cases import account_of, channels_of, opening_of, smsru_of, verifications_of
from service.configuration.settings import Settings


@dataclass(frozen=True)
class CliContext:
    """Use cases of the command line. Nothing connects before it is used."""

    settings: Settings
    core: Core
    verifications: Verifications
    channels: Channels
    account: AccountDesk
    balance: Balance
    inbox: Inbox
    smsru: SmsruProvider | None
    lookup: Lookup

    def examine(self) -> Examined:
        """Return Redis' report on itself: version, clock and eviction. Raises StoreUnavailable."""
        return self.core.probe.examine()


def build_cli_context(settings: Settings) -> CliContext:
    """Build the use cases with the production clock."""
    metrics = Metrics(__version__, settings.policy.clients, settings.policy.purposes)
    core = Core(settings, LoggingObserver(metrics), metrics, utc_now)
    opening = opening_of(settings, core, metrics)
    inbox = SmscInbox(account_of(settings), metrics)
    return CliContext(
        settings=settings,
        core=core,
        verifications=verifications_of(settings, core, opening),
        channels=channels_of(settings, core, opening),
        account=AccountDesk(
            cabinet=SmscCabinet(account_of(settings), metrics),
            audit=core.audit,
            limits=core.limits,
            clock=core.clock,
            policy=core.policy,
        ),
        balance=inbox,
        inbox=inbox,
        smsru=smsru_of(settings, metrics) if settings.smsru_api_ids else None,
        lookup=Lookup(core.store, core.audit, core.clock),
    )

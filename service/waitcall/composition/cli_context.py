"""Use cases that the command line needs beside the operator's."""

from dataclasses import dataclass

from waitcall import __version__
from waitcall.adapters.providers.smsc.account import SmscAccount
from waitcall.adapters.providers.smsru.client import SmsruProvider
from waitcall.adapters.redis.connection import ServerProperties
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.adapters.telemetry.observer import LoggingObserver
from waitcall.application.operate import OperatorActions
from waitcall.application.provider_account import AccountManagement, Balance
from waitcall.application.reconcile_inbox import Inbox
from waitcall.composition.core import Core, utc_now
from waitcall.composition.use_cases import ClientUseCases, account_of, client_use_cases, opening_of, smsru_of
from waitcall.configuration.settings import Settings


@dataclass(frozen=True)
class CliContext:
    """Use cases of the command line. Nothing connects before it is used."""

    settings: Settings
    core: Core
    use_cases: ClientUseCases
    account: AccountManagement
    balance: Balance
    inbox: Inbox
    smsru: SmsruProvider | None
    operator: OperatorActions

    def examine(self) -> ServerProperties:
        """Return Redis' report on itself: version, clock and eviction. Raises StoreUnavailable."""
        return self.core.probe.examine()


def build_cli_context(settings: Settings) -> CliContext:
    """Build the use cases with the production clock."""
    metrics = Metrics(__version__, settings.policy.clients, settings.policy.purposes)
    core = Core(settings, LoggingObserver(metrics), metrics, utc_now)
    smsc = SmscAccount(account_of(settings), metrics)
    return CliContext(
        settings=settings,
        core=core,
        use_cases=client_use_cases(settings, core, opening_of(settings, core, metrics)),
        account=AccountManagement(
            provider_account=smsc,
            audit=core.audit,
            limits=core.limits,
            clock=core.clock,
            policy=core.policy,
        ),
        balance=smsc,
        inbox=smsc,
        smsru=smsru_of(settings, metrics) if settings.smsru_api_ids else None,
        operator=core.operator(),
    )

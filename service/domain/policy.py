"""What the operator allows: purposes, clients, limits and the numbers that may be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.assurance import Assurance, Attested, of_channel
from service.domain.channel import Channel
from service.domain.conversion import Budget
from service.domain.errors import PhoneNumberNotAllowed
from service.domain.limits import Limit, Scope, total_of
from service.domain.lists import ListEntry
from service.domain.numbers import E164, may_get_codes

SHORTEST_WINDOW_SECONDS = 60
LONGEST_WINDOW_SECONDS = 900
"""The provider's own window: smsc-api.md, section 1."""


class OnConcurrent(StrEnum):
    """What a second requester does to the live verification of a number."""

    REFUSE = "refuse"
    CONTEST = "contest"


class Provider(StrEnum):
    """Who gives out numbers to dial."""

    SMSC = "smsc"
    SMSRU = "smsru"


@dataclass(frozen=True, slots=True)
class Routes:
    """Which providers are asked for a number, in order.

    Attributes:
        regions: for the numbers of one country, instead of ``default``.
    """

    default: tuple[Provider, ...] = (Provider.SMSC,)
    regions: Mapping[str, tuple[Provider, ...]] = field(default_factory=dict)

    @property
    def providers(self) -> frozenset[Provider]:
        """All that are named."""
        return frozenset(self.default).union(*self.regions.values())


class Permission(StrEnum):
    """What a client's key may do."""

    CREATE = "create"
    """Create and cancel, and what lies between: fall back, resend, check."""

    READ = "read"
    CONSUME = "consume"
    OPERATE = "operate"
    """Explain, block, unblock: whatever stands under ``/v1/operator``."""


CLIENT_PERMISSIONS = frozenset({Permission.CREATE, Permission.READ, Permission.CONSUME})


@dataclass(frozen=True, slots=True)
class Purpose:
    """One configured purpose; durations in seconds."""

    name: str
    max_window_seconds: int = LONGEST_WINDOW_SECONDS
    on_concurrent: OnConcurrent = OnConcurrent.REFUSE
    cooldown_seconds: int = 30
    result_seconds: int = 300
    retention_seconds: int = 86400
    require_reference: bool = False
    regions: frozenset[str] = frozenset()
    number_types: frozenset[str] = frozenset()
    min_assurance: Assurance = Assurance.ASSERTED
    match_dialled: bool = False
    """Where a callback says which number was dialled, it must be the one that was shown. The inbox must always say it."""
    channels: tuple[Channel, ...] = (Channel.CALL,)
    """Allowed, in the order of fallback; the first is the default."""
    second_step: Channel | None = None
    """Demanded after what the first channel proved."""
    max_attempts: int = 5
    """Wrong codes, over all messages of one verification."""
    max_sends: int = 4
    resend_seconds: int = 30
    """Until a second message may be sent; doubled for each further one."""

    def assurance(self, channel: Channel, region: str, table: Mapping[str, Attested]) -> Assurance:
        """What a verification that begins with ``channel`` proves in the end."""
        return of_channel(self.second_step or channel, region, table)

    def channels_after(self, channel: Channel) -> tuple[Channel, ...]:
        """Where a fallback may lead, in order."""
        return self.channels[self.channels.index(channel) + 1 :] if channel in self.channels else ()

    @property
    def demand(self) -> Assurance:
        """The least that a verification of this purpose proves in the end."""
        return self.min_assurance if self.second_step is None else Assurance.ROUNDTRIP

    @property
    def sends_codes(self) -> bool:
        """Tell whether a verification of this purpose may send a code."""
        return Channel.CODE in (*self.channels, self.second_step)

    def check(self, number: E164, assurance: Assurance, channel: Channel = Channel.CALL) -> None:
        """Check whether a number, of which ``assurance`` would be proven, may be verified for this purpose over ``channel``.

        Raises:
            PhoneNumberNotAllowed
        """
        if Channel.CODE in (channel, self.second_step) and not may_get_codes(number):
            raise PhoneNumberNotAllowed("Codes are sent to mobile numbers of a country only.")
        if self.regions and number.region not in self.regions:
            raise PhoneNumberNotAllowed
        if self.number_types and number.number_type not in self.number_types:
            raise PhoneNumberNotAllowed
        if not assurance.reaches(self.min_assurance):
            raise PhoneNumberNotAllowed(
                f"For this number it would prove {assurance}; the purpose demands {self.min_assurance}.",
            )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client wants to be told.

    Attributes:
        name: ``CLIENT/NAME``.
        events: the types that it asked for.
        allow_private: it may be at an address inside, and speak plain HTTP.
    """

    name: str
    url: str = field(repr=False)
    events: frozenset[str]
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """One internal caller."""

    name: str
    purposes: frozenset[str]
    default_region: str | None = None
    scopes: frozenset[Permission] = CLIENT_PERMISSIONS
    limits: Mapping[Scope, tuple[Limit, ...]] = field(default_factory=dict)
    """Instead of the policy's own for the same scope."""
    webhooks: tuple[Endpoint, ...] = ()
    return_origins: frozenset[str] = frozenset()
    """Where its hosted pages may lead back to, for instance ``https://login.example.org``."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What is kept of the audit stream."""

    max_entries: int = 100_000
    retention_seconds: int = 90 * 86400
    log: bool = False
    """Also one line in the log for each entry."""


@dataclass(frozen=True, slots=True)
class CaptchaRule:
    """Codes beyond these limits cost a visitor the provider's picture."""

    above: tuple[Limit, ...]
    image_url: str


@dataclass(frozen=True, slots=True)
class Brand:
    """What the hosted page looks like."""

    name: str | None = None
    color: str = "#1d4ed8"
    support_url: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy file."""

    dial_regions: frozenset[str]
    purposes: Mapping[str, Purpose]
    clients: Mapping[str, Client]
    limits: Mapping[Scope, tuple[Limit, ...]] = field(default_factory=dict)
    conversion: tuple[Budget, ...] = ()
    lists: tuple[ListEntry, ...] = ()
    assurance: Mapping[str, Attested] = field(default_factory=dict)
    audit: Audit = field(default_factory=Audit)
    text_in_numbers: tuple[E164, ...] = ()
    """Dedicated numbers of ours that receive texts."""
    code_texts: Mapping[str, str] = field(default_factory=dict)
    """By BCP 47 locale; ``{code}`` stands for the code. The first is for whoever names no locale, or another."""
    code_sender: str | None = None
    """Approved at the provider; None for the account's default."""
    captcha: CaptchaRule | None = None
    routing: Routes = field(default_factory=Routes)
    brand: Brand = field(default_factory=Brand)

    @property
    def has_pages(self) -> bool:
        """Whether any client may send people to a hosted page."""
        return any(client.return_origins for client in self.clients.values())

    @property
    def providers(self) -> frozenset[Provider]:
        """Providers whose accounts are used. Texts, codes and pictures all go through SMSC."""
        beside_calls = {Channel.TEXT_IN, Channel.CODE}
        ways = {way for each in self.purposes.values() for way in (*each.channels, each.second_step)}
        by_smsc = bool(ways & beside_calls or self.text_in_numbers or self.captcha)
        return self.routing.providers | ({Provider.SMSC} if by_smsc else frozenset())

    def limits_of(self, scope: Scope, client: str) -> tuple[Limit, ...]:
        """The limits of a scope for one client's requests."""
        own = self.clients[client].limits if client in self.clients else {}
        if scope is Scope.NUMBER_TOTAL and scope not in self.limits:
            return tuple(map(total_of, self.limits.get(Scope.NUMBER, ())))
        return own.get(scope, self.limits.get(scope, ()))

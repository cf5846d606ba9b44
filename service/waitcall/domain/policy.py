"""The operator's policy: purposes, clients, limits and the regions of numbers that may be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from waitcall.domain.channel import Assurance, Attested, Channel, Dialect, Provider, assurance_of_call
from waitcall.domain.conversion import ConversionBudget
from waitcall.domain.errors import PhoneNumberNotAllowed
from waitcall.domain.limits import Limit, Scope, total_of
from waitcall.domain.lists import ListEntry
from waitcall.domain.numbers import E164, may_get_codes
from waitcall.domain.status import Status

SHORTEST_WINDOW_SECONDS = 60
LONGEST_WINDOW_SECONDS = 900
"""Longest time, in seconds, that the provider waits for a call (smsc-api.md, section 1)."""


class OnConcurrent(StrEnum):
    """Effect of a second requester on the live verification of a number."""

    REFUSE = "refuse"
    CONTEST = "contest"


@dataclass(frozen=True, slots=True)
class Routes:
    """Order in which providers are asked for a number to dial.

    Attributes:
        default: providers for every other region.
        regions: providers for subscribers of one region, instead of ``default``.
    """

    default: tuple[Provider, ...] = (Provider.SMSC,)
    regions: Mapping[str, tuple[Provider, ...]] = field(default_factory=dict)

    @property
    def providers(self) -> frozenset[Provider]:
        """All providers that are named."""
        return frozenset(self.default).union(*self.regions.values())

    def of(self, region: str) -> tuple[Provider, ...]:
        """Return the providers for subscribers of a region."""
        return self.regions.get(region, self.default)


@dataclass(frozen=True, slots=True)
class OwnNumbers:
    """The operator's own pool of numbers to dial.

    Attributes:
        dialects: for each number of the pool, the dialect in which its calls are reported.
        cooldown_seconds: a subscriber is not shown the same number again for this long.
    """

    dialects: Mapping[E164, Dialect] = field(default_factory=dict)
    cooldown_seconds: int = 2 * LONGEST_WINDOW_SECONDS


@dataclass(frozen=True, slots=True)
class FixedOutcome:
    """Outcome that the policy fixes for a test number. Nothing is ordered or sent, and nothing is proven.

    Attributes:
        status: ``verified``, ``expired``, ``contested`` or ``failed``.
        delay_seconds: seconds from the opening of a channel to the outcome. On the channel ``code`` the outcome ``verified``
            comes when the code is typed instead.
        code: the code to type; None if no code is right.
    """

    status: Status
    delay_seconds: int = 5
    code: str | None = field(default=None, repr=False)


class Permission(StrEnum):
    """Permission of a client's key."""

    CREATE = "create"
    """Allows create, cancel, fallback, resend and check."""

    READ = "read"
    CONSUME = "consume"
    OPERATE = "operate"
    """Allows explain, block and unblock: all requests under ``/v1/operator``."""


CLIENT_PERMISSIONS = frozenset({Permission.CREATE, Permission.READ, Permission.CONSUME})


@dataclass(frozen=True, slots=True)
class Purpose:
    """Configured purpose. Durations are in seconds."""

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
    """If a callback names the dialled number, it must be the number shown. An inbox record must always name it."""
    channels: tuple[Channel, ...] = (Channel.CALL,)
    """Allowed channels in the order of fallback; the first is the default."""
    second_step: Channel | None = None
    """Channel that must be proven after the first one."""
    max_attempts: int = 5
    """Number of wrong codes that end a verification, over all of its messages."""
    max_sends: int = 4
    resend_seconds: int = 30
    """Seconds until a second message may be sent; the delay doubles with each further message."""
    test_numbers: bool = False
    """True if the purpose takes the policy's test numbers."""

    def assurance(self, channel: Channel, number: E164, table: Mapping[str, Attested]) -> Assurance:
        """Return the assurance of a proven verification that begins with ``channel``.

        A text from the phone proves only its sender's number, as a call does, and the person who starts the verification
        sees the text to send (docs/adr/0024).
        """
        match self.second_step or channel:
            case Channel.CALL:
                return assurance_of_call(number, table)
            case Channel.TEXT_IN:
                return Assurance.ASSERTED
            case Channel.CODE:
                return Assurance.ROUNDTRIP

    def channels_after(self, channel: Channel) -> tuple[Channel, ...]:
        """Return the channels that a fallback from ``channel`` may lead to, in order."""
        return self.channels[self.channels.index(channel) + 1 :] if channel in self.channels else ()

    @property
    def demand(self) -> Assurance:
        """Lowest assurance of a proven verification of this purpose."""
        return self.min_assurance if self.second_step is None else Assurance.ROUNDTRIP

    @property
    def sends_codes(self) -> bool:
        """Tell whether a verification of this purpose may send a code."""
        return Channel.CODE in (*self.channels, self.second_step)

    def check(
        self, number: E164, assurance: Assurance, channel: Channel = Channel.CALL, *, test: bool = False
    ) -> None:
        """Check whether a number may be verified for this purpose over ``channel``.

        A test number needs the purpose's ``test_numbers`` and nothing else, because nothing is ordered or sent for it.

        Args:
            number: the number to verify.
            assurance: the assurance that the verification would give.
            channel: the channel that it would begin with.
            test: True for a test number.

        Raises:
            PhoneNumberNotAllowed
        """
        if test:
            if not self.test_numbers:
                raise PhoneNumberNotAllowed("This is a test number, and the purpose takes none.")
            return
        if Channel.CODE in (channel, self.second_step) and not may_get_codes(number):
            raise PhoneNumberNotAllowed("Codes can be sent to mobile numbers of a country only.")
        if self.regions and number.region not in self.regions:
            raise PhoneNumberNotAllowed
        if self.number_types and number.number_type not in self.number_types:
            raise PhoneNumberNotAllowed
        if not assurance.reaches(self.min_assurance):
            raise PhoneNumberNotAllowed(
                f"A verification of this number would give assurance {assurance}; the purpose requires {self.min_assurance}.",
            )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Webhook endpoint of a client.

    Attributes:
        name: ``CLIENT/NAME``.
        events: types of the events that are delivered to it.
        allow_private: True if it may have a private address, and use plain HTTP.
    """

    name: str
    url: str = field(repr=False)
    events: frozenset[str]
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """Internal service that calls the API."""

    name: str
    purposes: frozenset[str]
    default_region: str | None = None
    scopes: frozenset[Permission] = CLIENT_PERMISSIONS
    limits: Mapping[Scope, tuple[Limit, ...]] = field(default_factory=dict)
    """Limits that replace the policy's limits of the same scope."""
    webhooks: tuple[Endpoint, ...] = ()
    return_origins: frozenset[str] = frozenset()
    """Origins that its hosted pages may lead back to, for instance ``https://login.example.org``."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Rules for keeping the audit stream."""

    max_entries: int = 100_000
    retention_seconds: int = 90 * 86400
    log: bool = False
    """True if each entry is also written to the log."""


@dataclass(frozen=True, slots=True)
class CaptchaRule:
    """Limits for codes, above which the visitor must solve the provider's captcha.

    Attributes:
        image_url: URL of the captcha's picture; empty for the picture of the account's host.
    """

    above: tuple[Limit, ...]
    image_url: str = ""


@dataclass(frozen=True, slots=True)
class Brand:
    """Name, colour and support link on the hosted page."""

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
    conversion: tuple[ConversionBudget, ...] = ()
    lists: tuple[ListEntry, ...] = ()
    assurance: Mapping[str, Attested] = field(default_factory=dict)
    audit: Audit = field(default_factory=Audit)
    text_in_numbers: tuple[E164, ...] = ()
    """Our dedicated numbers that receive texts."""
    code_texts: Mapping[str, str] = field(default_factory=dict)
    """Texts by BCP 47 locale, with ``{code}`` for the code. The first one serves unknown and missing locales."""
    code_sender: str | None = None
    """Sender name that the provider has approved; None for the account's default."""
    captcha: CaptchaRule | None = None
    routing: Routes = field(default_factory=Routes)
    own_numbers: OwnNumbers = field(default_factory=OwnNumbers)
    brand: Brand = field(default_factory=Brand)
    test_numbers: Mapping[E164, FixedOutcome] = field(default_factory=dict)
    """Fixed outcomes by the number of the subscriber; :meth:`test_of` finds them by any form of it."""

    @property
    def has_pages(self) -> bool:
        """True if any client may use hosted pages."""
        return any(client.return_origins for client in self.clients.values())

    @property
    def providers(self) -> frozenset[Provider]:
        """Providers whose accounts are used. Texts, codes and captchas always use SMSC."""
        beside_calls = {Channel.TEXT_IN, Channel.CODE}
        ways = {way for each in self.purposes.values() for way in (*each.channels, each.second_step)}
        by_smsc = bool(ways & beside_calls or self.text_in_numbers or self.captcha)
        return self.routing.providers | ({Provider.SMSC} if by_smsc else frozenset())

    def best_assurance(self, purpose: Purpose, channel: Channel, number: E164) -> Assurance:
        """Return the highest assurance that a verification of ``number`` for ``purpose`` can give over ``channel``.

        A call to one of our own numbers gives ``network`` if its network vouches for the caller.
        """
        own = (
            channel is Channel.CALL
            and purpose.second_step is None
            and Provider.OWN in self.routing.of(number.region)
        )
        given = purpose.assurance(channel, number, self.assurance)
        return Assurance.NETWORK if own and Assurance.NETWORK.reaches(given) else given

    def test_of(self, number: E164) -> FixedOutcome | None:
        """Return the fixed outcome of a test number; None for any other number."""
        return self.test_numbers.get(E164(number.subscriber)) if self.test_numbers else None

    def limits_of(self, scope: Scope, client: str) -> tuple[Limit, ...]:
        """Return the limits of a scope for one client's requests."""
        own = self.clients[client].limits if client in self.clients else {}
        if scope is Scope.NUMBER_TOTAL and scope not in self.limits:
            return tuple(map(total_of, self.limits.get(Scope.NUMBER, ())))
        return own.get(scope, self.limits.get(scope, ()))

"""Client for asyncio. `make client` generates sync.py from this file."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Self

import httpx
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from waitcall_client import requests
from waitcall_client.errors import Ended, StillPending
from waitcall_client.masking import mask_logs
from waitcall_client.models import Status, Verification
from waitcall_client.requests import LONGEST_WAIT_SECONDS, SHORTEST_PAUSE_SECONDS, Request


class AsyncWaitcall:
    """Client of the internal API. Make one for each process and share it. Use it as a context manager, or call `aclose()`.

    Every method may raise :class:`Problem` (``problems`` has a subclass for each code) and :class:`Unreachable`. A request
    without an answer is sent again with the same Idempotency-Key, so no number is ordered, no code is sent and no proof is
    consumed twice. Only :meth:`check` is not repeated if the request may have arrived.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float = 35,
        attempts: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Create a client. It connects only when the first request is sent.

        Args:
            base_url: URL of the internal API, for instance ``http://waitcall:8080``.
            api_key: API key of your service. It is sent only in a header.
            timeout_seconds: timeout of one attempt. A create may take as long as the provider's timeout in waitcall.
            attempts: most attempts of one call, the first included.
            transport: replaces the network in tests.
        """
        mask_logs()
        self._attempts = attempts
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": "waitcall-client/0.2.0"},
            follow_redirects=False,
            transport=transport,
            trust_env=False,
        )

    async def start(  # noqa: PLR0913  the fields of a create
        self,
        phone_number: str,
        *,
        purpose: str,
        reference: str | None = None,
        window_seconds: int | None = None,
        client_ip: str | None = None,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        channel: str | None = None,
        captcha: Mapping[str, str] | None = None,
        risk: str | None = None,
        return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Verification:
        """Start a verification.

        If this number has a pending verification with the same purpose and reference, that one is returned with ``created``
        False, unless a call already matched it or another requester contests it.

        On ``VerificationInProgress`` cancel the attempt that your session still holds, or wait for ``retry_after`` seconds.

        Args:
            phone_number: E.164, or a national number if the client has a default region. Spaces and punctuation are allowed.
            purpose: a purpose of waitcall's policy.
            reference: fresh and unguessable for each attempt (``secrets.token_urlsafe(16)``), kept in your server-side
                session. Never use the id of an account or a session. Consume must repeat it.
            window_seconds: seconds in which the call must come.
            client_ip: IP address of the person, for limits. Without it all people share the limits of your client.
            locale: BCP 47 tag, for texts and the hosted page.
            metadata: up to ten pairs, which every answer repeats.
            channel: ``call``, ``text_in`` or ``code``; by default the first of the purpose.
            captcha: ``code`` and ``user_ip``, after ``CaptchaRequired``.
            risk: your own assessment, ``low`` or ``high``.
            return_url: URL to return to from a hosted page. If it is given, the answer has ``hosted_url``.
            idempotency_key: key of an earlier call to repeat, for instance by another process; by default a new one.
        """
        return await self._send(
            requests.start(
                phone_number,
                purpose=purpose,
                reference=reference,
                window_seconds=window_seconds,
                client_ip=client_ip,
                locale=locale,
                metadata=metadata,
                channel=channel,
                captcha=captcha,
                risk=risk,
                return_url=return_url,
                idempotency_key=idempotency_key,
            )
        )

    async def read(
        self, verification_id: str, *, wait_seconds: int = 0, channel: str | None = None
    ) -> Verification:
        """Return a verification.

        Args:
            verification_id: from the server-side session.
            wait_seconds: wait so long (up to 30) for the verification to leave ``pending`` or ``channel``.
            channel: the channel that your page shows now.
        """
        return await self._send(requests.read(verification_id, wait_seconds, channel))

    async def wait_until_verified(self, verification_id: str, *, timeout_seconds: float) -> Verification:
        """Wait by long polls until a verification is verified.

        Raises:
            Ended: if it has another status than pending or verified, for instance expired, contested or consumed.
            StillPending: if it is still pending after ``timeout_seconds``.
        """
        deadline = monotonic() + timeout_seconds
        while True:
            asked = monotonic()
            left = max(deadline - asked, 0)
            found = await self.read(verification_id, wait_seconds=min(int(left), LONGEST_WAIT_SECONDS))
            if found.status == Status.VERIFIED:
                return found
            if found.status != Status.PENDING:
                raise Ended(found)
            if monotonic() >= deadline or left < 1:
                raise StillPending(f"pending after {timeout_seconds} s")
            # A service that already holds too many long polls answers at once, so pause before asking again.
            await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS - (monotonic() - asked), 0))

    async def consume(
        self,
        verification_id: str,
        *,
        purpose: str,
        reference: str | None = None,
        result: str | None = None,
        idempotency_key: str | None = None,
    ) -> Verification:
        """Redeem the proof. This succeeds once. Upgrade the session only after it.

        Args:
            verification_id: from the server-side session.
            purpose: the purpose given to :meth:`start`.
            reference: the reference given to :meth:`start`.
            result: after a hosted page, the ``result`` that the browser brought back.
            idempotency_key: key of an earlier call to repeat, for instance by another process; by default a new one.
        """
        body = {"purpose": purpose, "reference": reference, "result": result}
        return await self._send(requests.act(verification_id, "consume", body, idempotency_key))

    async def fall_back(
        self, verification_id: str, *, channel: str | None = None, idempotency_key: str | None = None
    ) -> Verification:
        """Switch to a later channel of the purpose; by default to the next one."""
        return await self._send(
            requests.act(verification_id, "fallback", {"channel": channel}, idempotency_key)
        )

    async def resend(self, verification_id: str, *, idempotency_key: str | None = None) -> Verification:
        """Send a code: the first one after a call of a purpose with two steps, or a new one."""
        return await self._send(requests.act(verification_id, "resend", {}, idempotency_key))

    async def check(self, verification_id: str, code: str) -> Verification:
        """Check the code that the person typed.

        Raises:
            CodeMismatch: if it is wrong. Each wrong code uses up an attempt.
            RateLimited: if the number had too many wrong codes in the period that waitcall's policy sets.
        """
        return await self._send(requests.check(verification_id, code))

    async def cancel(self, verification_id: str) -> Verification:
        """Cancel a pending verification."""
        return await self._send(requests.cancel(verification_id))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _send(self, request: Request) -> Verification:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            retry=retry_if_exception(lambda error: requests.again(request, error)),
            wait=requests.pause,
            reraise=True,
        )
        try:
            return await retrying(self._once, request)
        except requests.Lost as error:
            raise requests.final(error) from error

    async def _once(self, request: Request) -> Verification:
        try:
            response = await self._http.request(
                request.method,
                request.path,
                json=request.json,
                params=request.params,
                headers=request.headers,
                timeout=self._timeout_seconds + request.wait_seconds,
            )
        except httpx.TransportError as error:
            raise requests.lost(error) from error
        return requests.result(response)

"""The client for asyncio. sync.py is generated from this file by `make client`."""

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
    """One per process; safe to share. A context manager, or `aclose()` it.

    Every method may raise :class:`Problem` (a subclass for each code in ``problems``) and :class:`Unreachable`. What was lost on
    the way is sent again under the same Idempotency-Key, so nothing is ordered, sent or redeemed twice; codes are checked once.
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
        """
        Args:
            base_url: of the internal API, for instance ``http://waitcall:8080``.
            api_key: this service's own; sent in a header only.
            timeout_seconds: of one try; a create takes as long as the provider may.
            attempts: tries of one call, the first included.
            transport: instead of the network, for tests.
        """
        mask_logs()
        self._attempts = attempts
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": "waitcall-client/0.1.0"},
            follow_redirects=False,
            transport=transport,
            trust_env=False,
        )

    async def start(  # noqa: PLR0913  what create takes
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
        """Begin. The live verification of the same reference is answered again while nothing was matched and nobody
        contests it (``created`` is False then).

        On ``VerificationInProgress`` cancel the attempt that your session still holds, or wait for ``retry_after`` seconds.

        Args:
            phone_number: E.164, or a national form where the client has a default region; as people write and paste it.
            purpose: a configured one.
            reference: fresh and unguessable for each attempt (``secrets.token_urlsafe(16)``), kept in your server-side
                session; never the id of an account or a session. Consume must repeat it.
            window_seconds: how long a call may come.
            client_ip: the person's address, for limits. Without it strangers share the limits of your client.
            locale: BCP 47, for texts and the hosted page.
            metadata: up to ten pairs, given back.
            channel: ``call``, ``text_in`` or ``code``; the purpose's first by default.
            captcha: ``code`` and ``user_ip``, after ``CaptchaRequired``.
            risk: your own verdict, ``low`` or ``high``.
            return_url: for a hosted page: ``hosted_url`` is answered then.
            idempotency_key: to repeat a call of another process; made up otherwise.
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
        """As it stands; with ``wait_seconds`` (up to 30) held while it is pending on ``channel``, the one that you show."""
        return await self._send(requests.read(verification_id, wait_seconds, channel))

    async def wait_until_verified(self, verification_id: str, *, timeout_seconds: float) -> Verification:
        """Wait by long polls.

        Raises:
            Ended: it is over without being verified, or contested, or consumed before.
            StillPending: it is not, after ``timeout_seconds``.
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
            # A service that holds too many questions already answers at once.
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
        """Redeem the proof, once; then, and only then, upgrade the session.

        Args:
            verification_id: from the server-side session.
            purpose: as at the start.
            reference: as at the start.
            result: of a hosted page: what the browser brought back.
            idempotency_key: to repeat a call of another process; made up otherwise.
        """
        body = {"purpose": purpose, "reference": reference, "result": result}
        return await self._send(requests.act(verification_id, "consume", body, idempotency_key))

    async def fall_back(
        self, verification_id: str, *, channel: str | None = None, idempotency_key: str | None = None
    ) -> Verification:
        """On to a later channel; the next by default."""
        return await self._send(
            requests.act(verification_id, "fallback", {"channel": channel}, idempotency_key)
        )

    async def resend(self, verification_id: str, *, idempotency_key: str | None = None) -> Verification:
        """Send a code: the first of a second step, or another."""
        return await self._send(requests.act(verification_id, "resend", {}, idempotency_key))

    async def check(self, verification_id: str, code: str) -> Verification:
        """Compare what the person typed. ``CodeMismatch`` costs an attempt, ``RateLimited`` ends them for the day."""
        return await self._send(requests.check(verification_id, code))

    async def cancel(self, verification_id: str) -> Verification:
        """Stop waiting."""
        return await self._send(requests.cancel(verification_id))

    async def aclose(self) -> None:
        """Give the connections back."""
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

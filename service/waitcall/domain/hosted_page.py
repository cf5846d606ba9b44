"""The hosted page: the token in its address, its return URL, and the result that the browser brings back."""

import hmac
import re
from collections.abc import Collection

from waitcall.domain.errors import ValidationFailed

PLACE_CHARACTERS = 24
_SEAL_CHARACTERS = 32
_TOKEN = re.compile(r"[0-9a-f]{56}", re.ASCII)
LONGEST_RETURN_URL = 1000
# The characters that RFC 3986 allows, without `#`. Each browser repairs other characters in its own way.
_WRITTEN = re.compile(r"[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]+", re.ASCII)


def check_return_url(url: str, origins: Collection[str]) -> str:
    """Check the URL that the hosted page leads back to, and return it.

    Args:
        url: as the client sent it.
        origins: allowed origins such as ``https://login.example.org``, spelled exactly as browsers spell them.

    Raises:
        ValidationFailed
    """
    if len(url) > LONGEST_RETURN_URL or not _WRITTEN.fullmatch(url):
        raise ValidationFailed.of(
            "hosted.return_url",
            "Must be a URL of at most 1000 characters that RFC 3986 allows, without a fragment.",
        )
    # A slash must follow the origin, because otherwise parsers disagree about where the host ends.
    if not any(url.startswith(f"{origin}/") for origin in origins):
        raise ValidationFailed.of(
            "hosted.return_url",
            "Must begin with one of the client's hosted.return_origins, followed by a slash.",
        )
    return url


class PageSeals:
    """Maker of the page's tokens and results from a verification's id. They are not stored, and do not reveal the id."""

    def __init__(self, *peppers: str) -> None:
        """``peppers``: the current one first, then the other one while the pepper rotates."""
        self._pages = [hmac.digest(pepper.encode(), b"waitcall page", "sha256") for pepper in peppers]
        self._results = [hmac.digest(pepper.encode(), b"waitcall result", "sha256") for pepper in peppers]

    def token(self, verification_id: str) -> str:
        """Return the page's token: 56 hexadecimal digits, 128 bits of them secret. It gives access to the page only."""
        return _place(verification_id) + _seal(self._pages[0], verification_id)

    def opens(self, token: str, verification_id: str) -> bool:
        """Tell, in constant time, whether a token belongs to this verification."""
        given = token[PLACE_CHARACTERS:]
        return _place(verification_id) == token[:PLACE_CHARACTERS] and _matches(
            self._pages, verification_id, given
        )

    def result(self, verification_id: str) -> str:
        """Return the result that a verified page gives to the browser, for the client to consume."""
        return _seal(self._results[0], verification_id)

    def proves(self, result: str, verification_id: str) -> bool:
        """Tell, in constant time, whether a result belongs to this verification."""
        return _matches(self._results, verification_id, result)


def place_of(token: str) -> str | None:
    """Return the place of the token's verification in the store; None if the text is not a token."""
    return token[:PLACE_CHARACTERS] if _TOKEN.fullmatch(token) else None


def _place(verification_id: str) -> str:
    return verification_id.removeprefix("ver_")[:PLACE_CHARACTERS]


def _seal(key: bytes, verification_id: str) -> str:
    return hmac.digest(key, verification_id.encode(), "sha256").hex()[:_SEAL_CHARACTERS]


def _matches(keys: list[bytes], verification_id: str, given: str) -> bool:
    found = False
    for key in keys:
        found |= hmac.compare_digest(_seal(key, verification_id).encode(), given.encode())
    return found

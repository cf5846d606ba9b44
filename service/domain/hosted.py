"""The page that a person is sent to: its address, and the result that the person's browser brings back."""

import hmac
import re
from collections.abc import Collection

from service.domain.errors import ValidationFailed

PLACE_CHARACTERS = 24
_SEAL_CHARACTERS = 32
_TOKEN = re.compile(r"[0-9a-f]{56}", re.ASCII)
LONGEST_RETURN_URL = 1000
# What RFC 3986 leaves, without `#`: browsers mend everything else, each in its own way.
_WRITTEN = re.compile(r"[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]+", re.ASCII)


def check_return_url(url: str, origins: Collection[str]) -> str:
    """A URL to send a person back to.

    Args:
        url: as the client sent it.
        origins: ``https://login.example.org``, exactly as a browser writes them.

    Raises:
        ValidationFailed
    """
    if len(url) > LONGEST_RETURN_URL or not _WRITTEN.fullmatch(url):
        raise ValidationFailed.of(
            "hosted.return_url", "Not a URL without fragment, of at most 1000 characters of RFC 3986."
        )
    # With the slash behind the origin nothing is left for parsers to disagree about.
    if not any(url.startswith(f"{origin}/") for origin in origins):
        raise ValidationFailed.of(
            "hosted.return_url",
            "Must begin with an origin of the client's hosted.return_origins, and a slash.",
        )
    return url


class PageSeals:
    """Derives what the page needs from a verification's id. Nothing is stored, nothing leads back to the id."""

    def __init__(self, *peppers: str) -> None:
        """``peppers``: the current first, then another while it rotates."""
        self._pages = [hmac.digest(pepper.encode(), b"waitcall page", "sha256") for pepper in peppers]
        self._results = [hmac.digest(pepper.encode(), b"waitcall result", "sha256") for pepper in peppers]

    def token(self, verification_id: str) -> str:
        """56 hexadecimal digits, of which 128 bits are a secret. Reads the page, and nothing else."""
        return _place(verification_id) + _seal(self._pages[0], verification_id)

    def opens(self, token: str, verification_id: str) -> bool:
        """Whether a token is this verification's; in constant time."""
        given = token[PLACE_CHARACTERS:]
        return _place(verification_id) == token[:PLACE_CHARACTERS] and _matches(
            self._pages, verification_id, given
        )

    def result(self, verification_id: str) -> str:
        """What a verified page hands to the browser, for the client to redeem."""
        return _seal(self._results[0], verification_id)

    def proves(self, result: str, verification_id: str) -> bool:
        """Whether a result is this verification's; in constant time."""
        return _matches(self._results, verification_id, result)


def place_of(token: str) -> str | None:
    """Where the token's verification lies; None for what is no token."""
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

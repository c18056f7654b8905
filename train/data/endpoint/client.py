"""One request to the endpoint, and everything that can come of it.

The key comes from the environment, is sent to the endpoint's own address and to no other, and is written nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import os
import ssl
import time
from types import TracebackType

import httpx

from edge_phi.errors import EdgePhiError, InvalidCall

from .answer import Answer, Unusable, read_answer
from .request import Endpoint, Request

KEY_VARIABLE = "EDGE_PHI_ENDPOINT_KEY"
MAX_BODY = 4 << 20  # bytes of an answer
_MAX_COMPLAINT = 64 << 10  # bytes read of what a server says is wrong
_SHOWN = 200  # characters of it
_MAX_WAIT = 3600.0  # seconds; no server is believed that asks for more
_SECRET = 8  # characters; shorter keys are placeholders such as EMPTY
_AGAIN = frozenset({408, 409, 425, 429})
_ITS_OWN_FAULT = frozenset({400, 413, 422})  # of the request, where others may do


class Away(Exception):
    """The server cannot answer now, and may later.

    Attributes:
        why: on one line.
        wait_s: at least so long, if the server says.
        maybe_charged: it may have worked on the request.
    """

    def __init__(self, why: str, *, wait_s: float = 0.0, maybe_charged: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s
        self.maybe_charged = maybe_charged


class Refused(Exception):
    """The server does not want this request; the message says what it says."""


class Client:
    """Asks one endpoint; an async context manager.

    Args:
        endpoint: whom.

    Raises:
        InvalidCall: the key in the environment cannot be sent.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not (self._key.isascii() and (self._key.isprintable() or not self._key)):
            raise InvalidCall(f"{KEY_VARIABLE}: holds what no header can: set it to the endpoint's key")
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "edge-phi"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(endpoint.timeout_s, connect=min(endpoint.timeout_s, 30.0)),
            limits=httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency),
            follow_redirects=False,
            # A proxy of the environment's sees what it passes on, unless that is encrypted.
            trust_env=endpoint.url.lower().startswith("https:"),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            Away: no answer now.
            Unusable: an answer that is none.
            Refused: this request will not be answered.
            EdgePhiError: no request will be.
        """
        body = json.dumps(request.body(self._endpoint.model)).encode()
        try:
            return await asyncio.wait_for(self._exchange(body), self._endpoint.timeout_s)
        except (asyncio.TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise Away(f"no answer within {self._endpoint.timeout_s:g} s", maybe_charged=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            if _is_untrusted(error):
                raise EdgePhiError(
                    f"{self._endpoint.url}: its certificate does not hold: set SSL_CERT_FILE to one that vouches for it"
                ) from None
            raise Away(f"cannot connect ({self._shown(str(error) or type(error).__name__)})") from None
        except httpx.TransportError as error:
            said = self._shown(str(error) or type(error).__name__)
            raise Away(f"the connection broke ({said})", maybe_charged=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EdgePhiError(f"{self._endpoint.url}: cannot be asked ({self._shown(str(error))})") from None

    async def _exchange(self, body: bytes) -> Answer:
        async with self._http.stream("POST", self._endpoint.completions_url, content=body) as response:
            if response.status_code != 200:
                raise await self._complaint(response)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise Unusable("compressed, though asked not to be")
            answer = read_answer(await _read(response, MAX_BODY))
            if len(self._key) >= _SECRET and self._key in answer.text:
                raise Unusable("an answer that holds the key")
            return answer

    async def _complaint(self, response: httpx.Response) -> Exception:
        status = response.status_code
        where = self._endpoint.completions_url
        if 300 <= status < 400:
            return EdgePhiError(f"{where}: sends us elsewhere ({status}), where no key goes: give the right --endpoint")
        said = b""
        with contextlib.suppress(Unusable, httpx.HTTPError):
            said = await _read(response, _MAX_COMPLAINT)
        line = f"{status}: {self._shown(_message(said)) or response.reason_phrase or 'no reason given'}"
        if status >= 500 or status in _AGAIN:
            return Away(line, wait_s=_seconds(response.headers.get("retry-after", "")))
        if status in _ITS_OWN_FAULT:
            return Refused(line)
        if status in (401, 403):
            return EdgePhiError(f"{where}: {line}: set {KEY_VARIABLE} to a key that may use it")
        if status == 404:
            return EdgePhiError(f"{where}: {line}: check --endpoint (often it ends in /v1) and --model")
        return EdgePhiError(f"{where}: {line}")

    def _shown(self, text: str) -> str:
        """On one line, not long, and without the key."""
        if len(self._key) >= _SECRET:
            text = text.replace(self._key, "(the key)")
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        return " ".join(text.split())[:_SHOWN]


async def _read(response: httpx.Response, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in response.aiter_raw():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Unusable(f"longer than {most >> 10} KiB")
    return b"".join(pieces)


def _message(body: bytes) -> str:
    """What a server says is wrong: OpenAI's error.message, or FastAPI's detail, or simply the text."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict):
        error = value.get("error", value.get("detail", value.get("message", text)))
        text = str(error.get("message", text)) if isinstance(error, dict) else str(error)
    return text


def _seconds(retry_after: str) -> float:
    """Of a Retry-After header, in seconds or as a date; 0 where it says neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, IndexError):
            return 0.0
    return min(max(seconds, 0.0), _MAX_WAIT) if seconds == seconds else 0.0


def _is_untrusted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False

"""Following one kind for ever: the whole list once, a watch behind it, and the list again when the watch cannot go on.

What the API server says of its own past is not taken on trust: when its resource version is lower than one that was
seen (etcd was restored from a backup), everything known is dropped and read anew. A kind that is not served is asked
for until it is. A resync finds what a watch has lost without saying so, and reports it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

from tenantprofile import settings
from tenantprofile.cluster.api import Api
from tenantprofile.cluster.decode import Object, Undecodable, is_deeper, is_larger, unreadable
from tenantprofile.cluster.errors import ApiError, Gone
from tenantprofile.cluster.pace import Pace
from tenantprofile.cluster.store import Key, Store

logger = logging.getLogger(__name__)

T = TypeVar("T")
Changed = Callable[[Key, T | None, T | None], None]
"""Called with the key, what was known before, and what is known now; None where there is none."""


class WentBack(Exception):
    """The API server is at a lower resource version than one that was seen."""


class Informer(Generic[T]):
    """Keeps a Store true. `clock` gives monotonic seconds."""

    def __init__(
        self,
        api: Api,
        path: str,
        store: Store[T],
        changed: Changed[T],
        clock: Callable[[], float],
        *,
        selector: str | None = None,
        nesting: int | None = None,
        restored: Callable[[], None] = lambda: None,
        undecodable: Callable[[Key, Undecodable], None] = lambda *_: None,
    ) -> None:
        """`nesting`: the most levels of an object whose author may write any; its size is bounded as well.

        `restored`: the past has changed; `synced` is cleared, and everything is to be compared again once it is set.
        `undecodable`: an object cannot be read; what was known of it stays in the store.
        """
        self._api = api
        self._path = path
        self.kind = path.rpartition("/")[2]
        self.store = store
        self._changed = changed
        self._clock = clock
        self._selector = selector
        self._nesting = nesting
        self._restored = restored
        self._tell_undecodable = undecodable
        self._one_list = asyncio.Lock()
        self._interrupt: asyncio.Timeout | None = None
        self._back = False
        self._newest = 0
        self._position = 0
        self._before: dict[Key, T] = {}
        self._unheard: set[Key] = set()
        self._error: str | None = None
        self.synced = asyncio.Event()
        """The store holds what a whole list held, and is being kept up to date."""
        self.last_contact = clock()
        """When the API server was last heard of this kind, on the same clock."""
        self.unheard = 0
        """Changes that a resync found, and no watch event had brought."""
        self.body: Object | None = None
        """During a call of `changed`: the object as a list or an event showed it; None where a list lacked it."""
        self.is_new = False
        """During a call of `Store.read`: a watch has just said that the object was created."""

    def problem(self) -> str | None:
        """Why this input is blind, in plain words."""
        if self._error is not None and (
            self.clock_since_contact() > settings.BLIND or not self.synced.is_set()
        ):
            return self._error
        return None if self.synced.is_set() else f"the first list of {self.kind} has not ended"

    def clock_since_contact(self) -> float:
        """Seconds since the API server was last heard of this kind."""
        return self._clock() - self.last_contact

    async def run(self) -> None:
        """Follow until cancelled."""
        guard = asyncio.create_task(self._guard())
        try:
            await self._follow()
        finally:
            guard.cancel()
            with suppress(asyncio.CancelledError):
                await guard

    async def _follow(self) -> None:
        version: str | None = None
        failures = 0
        while True:
            opened: float | None = None
            pause = 0.0
            try:
                if version is None:
                    version = str(await self._list())
                else:
                    await self._check_version()
                opened = self._clock()
                version = await self._watch(version)
            except WentBack:
                logger.warning(
                    "%s: the API server has gone back to an older state; everything is read again", self.kind
                )
                self._forget_everything()
                version = None
            except Gone:
                logger.info("the watch on %s fell behind; reading the whole list again", self.kind)
                version = None
            except ApiError as error:
                version, pause = self._failed(error, version)
            if opened is not None and self._clock() - opened > settings.SHORT_WATCH:
                failures = 0
                if self._error is None:
                    continue
            failures += 1
            shortest, longest = settings.WATCH_PAUSES
            pause = pause or min(shortest * 2.0 ** min(failures - 1, 10), longest)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not secrecy)

    def _failed(self, error: ApiError, version: str | None) -> tuple[str | None, float]:
        """Note why; from where to go on, and after how many seconds (0: as usual)."""
        if error.concerns == "kind":
            text = f"{self.kind} are not served by the API server: install the CRDs (kubectl apply -k crds)"
            version, pause = None, settings.NOT_SERVED_PAUSE
        else:
            text, pause = f"{self.kind} cannot be followed: {error}", 0.0
            if version is not None:
                version = str(self._position)  # what a broken watch has brought needs no second telling
        if text != self._error:
            logger.warning("%s", text)
        self._error = text
        return version, pause

    def _heard(self) -> None:
        self.last_contact = self._clock()
        if self._error is not None:
            logger.info("%s are followed again", self.kind)
            self._error = None

    # --- the list ---

    async def resync(self) -> None:
        """Compare the store with a whole list. Raises ApiError and Gone; a state that went back is dealt with."""
        if not self.synced.is_set():
            await self.synced.wait()
            return
        try:
            await self._list(resync=True)
        except WentBack:
            self.read_anew()

    def read_anew(self) -> None:
        """The API server went back to an older state: end the watch, if one is open, and read everything anew."""
        self._back = True
        if self._interrupt is not None:
            self._interrupt.reschedule(asyncio.get_running_loop().time())

    async def _list(self, *, resync: bool = False) -> int:
        async with self._one_list:
            listed: set[Key] = set()
            complete = False
            version = 0
            news: set[Key] = set()
            pace = Pace()
            self.store.begin_list()
            try:
                async for page in self._api.pages(self._path, selector=self._selector):
                    self._heard()
                    version = int(page.resource_version)
                    if version < self._newest:
                        raise WentBack
                    for raw in page.items:
                        try:
                            key, listed_version = self._identity(raw)
                        except ValueError as error:
                            self._cannot_read(unreadable(raw, str(error)))
                            continue
                        listed.add(key)
                        if listed_version < self.store.version(key) <= version:
                            raise WentBack
                        if self._put(raw, key, listed_version):
                            news.add(key)
                        await pace.step()
                    for found in page.undecodable:
                        listed.add((found.namespace, found.name))
                        self._cannot_read(found)
                complete = True
            except ValueError as error:
                raise ApiError(
                    0, "Undecodable", f"the list of {self.kind} cannot be read: {error}"
                ) from error
            finally:
                gone = self.store.end_list(listed if complete else None, version)
            self._newest = max(self._newest, version)
            before, self._before = self._before, {}
            for key, value in (*gone, *((k, v) for k, v in before.items() if k not in listed)):
                news.add(key)
                self._changed(key, value, None)
                await pace.step()
            if resync:
                self._suspect(news)
            else:
                self._position = version
            self.synced.set()
            return version

    def _suspect(self, news: set[Key]) -> None:
        """What a resync found and the watch does not bring within a moment was lost."""
        self._unheard |= news
        if news:
            asyncio.get_running_loop().call_later(settings.UNHEARD_AFTER, self._judge, frozenset(news))

    def _judge(self, news: frozenset[Key]) -> None:
        lost = sorted(self._unheard & news)
        self._unheard -= news
        if lost:
            self.unheard += len(lost)
            logger.warning(
                "a comparison found %d changes of %s that no watch had brought, the first on %s",
                len(lost),
                self.kind,
                "/".join(part for part in lost[0] if part),
            )

    def _forget_everything(self) -> None:
        self.synced.clear()
        self._before = {**self._before, **self.store.clear()}
        self._newest = self._position = 0
        self._back = False
        self._restored()

    # --- the watch ---

    async def _watch(self, version: str) -> str:
        pace = Pace()
        try:
            async with (
                asyncio.timeout(None) as self._interrupt,
                aclosing(
                    self._api.watch(self._path, version, selector=self._selector, accepted=self._heard)
                ) as events,
            ):
                async for kind, found in events:
                    self._heard()
                    if isinstance(found, Undecodable):
                        self._cannot_read(found)
                        continue
                    version = self._take(kind, found) or version
                    await pace.step()
        except TimeoutError as error:
            raise WentBack from error
        finally:
            self._interrupt = None
        return version

    def _take(self, kind: str, raw: Object) -> str | None:
        """Take in one event; the version from which to go on."""
        try:
            key, version = self._identity(raw, named=kind != "BOOKMARK")
        except ValueError as error:
            self._cannot_read(unreadable(raw, str(error)))
            return None
        if version < self._position:
            raise WentBack
        self._position = version
        self._newest = max(self._newest, version)
        self._unheard.discard(key)
        if kind == "DELETED":
            before = self.store.remove(key, version)
            if before is not None:
                self._report(key, before, None, raw)
        elif kind != "BOOKMARK":
            self._put(raw, key, version, new=kind == "ADDED")
        return str(version)

    async def _guard(self) -> None:
        """Beside an open watch: an API server whose etcd was restored under it may say nothing for ever."""
        while True:
            await asyncio.sleep(settings.VERSION_CHECK * random.uniform(0.8, 1.0))  # noqa: S311 (jitter)
            if self._interrupt is None:
                continue
            try:
                await self._check_version()
            except WentBack:
                self.read_anew()
            except ApiError:
                pass  # the watch tells

    async def _check_version(self) -> None:
        if self._back:
            raise WentBack
        newest = self._newest
        version = await self._api.version(self._path)
        if version.isdigit() and int(version) < newest:
            raise WentBack

    # --- one object ---

    def _put(self, raw: Object, key: Key, version: int, *, new: bool = False) -> bool:
        if version <= self.store.version(key):
            return False
        before = self._before.pop(key, None) or self.store.get(key[1], key[0])
        self.is_new = new
        try:
            if self._nesting is not None:
                written = {key: value for key, value in raw.items() if key != "metadata"}
                if is_larger(written, settings.MAX_VALUES):
                    raise ValueError(f"holds more than {settings.MAX_VALUES:,} values")
                if is_deeper(raw, self._nesting):
                    raise ValueError(f"nested in more than {self._nesting} levels")
            if not self.store.put(key, version, self.store.read(raw)):
                return False
        except Exception as error:
            # Whatever an object's author has thought of: it is about this object alone.
            self._cannot_read(unreadable(raw, str(error) or type(error).__name__))
            return False
        self._report(key, before, self.store.get(key[1], key[0]), raw)
        return True

    def _report(self, key: Key, before: T | None, after: T | None, raw: Object) -> None:
        self.body = raw
        try:
            self._changed(key, before, after)
        finally:
            self.body = None

    def _cannot_read(self, found: Undecodable) -> None:
        key = (found.namespace, found.name)
        if self.store.undecodable.get(key) == found:
            return
        self.store.undecodable[key] = found
        logger.warning(
            "%s %s cannot be read: %s", self.kind, "/".join(part for part in key if part), found.reason
        )
        self._tell_undecodable(key, found)

    def _identity(self, raw: Object, *, named: bool = True) -> tuple[Key, int]:
        """Key and version. Raises ValueError."""
        try:
            metadata = raw["metadata"]
            version = int(metadata["resourceVersion"])
            return (metadata.get("namespace", ""), metadata["name"] if named else ""), version
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no name or resource version: {error!r}") from error

"""Index of the orders at providers that report on orders: their verifications, and the times of their status queries."""

from datetime import datetime, timedelta

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import milliseconds, order_key, orders_to_ask
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.domain.channel import ProviderOrder
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS

KEPT = timedelta(seconds=2 * LONGEST_WINDOW_SECONDS)
_KEPT_MS = int(KEPT.total_seconds() * 1000)
_MOST = 100
_ORDER = Script("order")


class RedisOrders:
    """OrderIndex over Redis. All keys of one provider share a slot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def remember(self, order: ProviderOrder, verification_id: str, ask_at: datetime, now: datetime) -> None:
        """Write both keys with one script, and wait for replicas."""
        args: list[Arg] = [
            *(verification_id, _KEPT_MS, order.id),
            *(milliseconds(ask_at), milliseconds(now - KEPT)),
        ]
        step = Step(_ORDER, [order_key(order), orders_to_ask(order.provider)], args)
        self._connection.run("order", step, replicated=True)

    def verification_of(self, order: ProviderOrder) -> str | None:
        """Read the order's key."""
        with self._connection.using("order") as client:
            found: bytes | None = client.get(order_key(order))
        return self._text(found) if found else None

    def to_ask(self, provider: str, now: datetime) -> list[ProviderOrder]:
        """Read the orders with the earliest times. Remove members that are not text."""
        key, orders = orders_to_ask(provider), []
        with self._connection.using("orders") as client:
            members = client.zrange(key, "-inf", milliseconds(now), byscore=True, offset=0, num=_MOST)
            for member in members:
                if (order_id := self._text(member)) is None:
                    # Remove it, or each poll would meet it again.
                    client.zrem(key, member)
                else:
                    orders.append(ProviderOrder(provider, order_id))
        return orders

    def ask_again(self, order: ProviderOrder, at: datetime) -> None:
        """Set the order's time, if the order is still open."""
        with self._connection.using("orders") as client:
            client.zadd(orders_to_ask(order.provider), {order.id: milliseconds(at)}, xx=True)

    def settle(self, order: ProviderOrder) -> None:
        """Remove the order's time. The order stays in the index, so that a repeated report is recognized."""
        with self._connection.using("orders") as client:
            client.zrem(orders_to_ask(order.provider), order.id)

    def _text(self, stored: bytes) -> str | None:
        try:
            return stored.decode()
        except UnicodeDecodeError as error:
            self._connection.unreadable("orders", error)
            return None

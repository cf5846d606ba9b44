"""Leadership among workers, over every real store."""

from datetime import datetime, timedelta

from tests.worlds import World, redis_connection
from waitcall.adapters.redis.leadership import RedisLeadership, RedisProgress
from waitcall.application.ports import Term
from waitcall.application.reconcile_inbox import Progress


def test_one_worker_leads_until_it_resigns_and_every_term_has_a_higher_fence(real_world: World) -> None:
    with redis_connection(real_world.url) as connection:
        leadership = RedisLeadership(connection)
        first = leadership.take("a")
        assert first == Term(1, "a")
        assert leadership.take("a") == first
        assert leadership.take("b") is None
        leadership.resign(first)
        second = leadership.take("b")
        assert second == Term(2, "b")
        # Resigning a term that is over does not end the current one.
        leadership.resign(first)
        assert leadership.take("a") is None


def test_a_write_of_a_leader_after_its_term_is_refused(real_world: World) -> None:
    with redis_connection(real_world.url) as connection:
        leadership, progress = RedisLeadership(connection), RedisProgress(connection)
        first = leadership.take("a")
        moment = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
        known = Progress(7, moment, moment - timedelta(seconds=1), moment, 10800)
        assert first is not None
        assert progress.save(first, known)
        assert progress.load() == known
        leadership.resign(first)
        assert not progress.save(first, Progress(8))
        assert leadership.take("b") is not None
        assert not progress.save(first, Progress(8))
        assert progress.load() == known

from waitcall.adapters.redis.keys import AUDIT, DUE, Keys, due_key

KEYS = Keys("a-pepper-of-the-tests")


def test_deadlines_and_the_audit_stream_are_spread_over_all_their_parts() -> None:
    """Each part is in a slot of its own, so the nodes of a cluster share the work."""
    numbers = [f"+7999{index:07d}" for index in range(300)]

    assert {due_key(KEYS.new_id(number)) for number in numbers} == set(DUE)
    assert {KEYS.audit(KEYS.hash_of("actor", number)) for number in numbers} == set(AUDIT)


def test_the_words_of_a_hash_do_not_run_into_each_other() -> None:
    assert len({KEYS.hash_of("a", "bc"), KEYS.hash_of("ab", "c"), KEYS.hash_of("abc")}) == 3
    assert KEYS.hash_of("a") != Keys("another").hash_of("a")

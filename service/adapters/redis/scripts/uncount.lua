-- Take one act out of a limit.
-- KEYS: the uses of the limit. ARGV: the act's token.
-- Returns 1, or 0 where it was not counted.
return redis.call('ZREM', KEYS[1], ARGV[1])

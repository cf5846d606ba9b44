-- Remove one act from the uses of a limit.
-- KEYS: the uses of the limit. ARGV: the act's token.
-- Returns 1, or 0 if it was not counted.
return redis.call('ZREM', KEYS[1], ARGV[1])

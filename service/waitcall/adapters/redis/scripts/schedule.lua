-- Set the time of a member of a sorted set.
-- KEYS: the set. ARGV: the time in milliseconds since 1970, the member, milliseconds to keep the idle set.
-- Returns 1, which means nothing.
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1

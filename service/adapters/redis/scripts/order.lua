-- Remember which verification an order is of, and when to ask about it.
-- KEYS: the order, the set of those to ask about. ARGV: the verification's id, milliseconds to keep both,
-- the order's id, the instant to ask at, the instant before which nothing is left to ask.
-- Returns nothing of interest.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1

-- Check that the server accepts the writes that serving needs, by writing a value of each type.
-- KEYS: a string, a sorted set, a stream, a hash. ARGV: milliseconds to keep them.
-- Returns 1.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
redis.call('GET', KEYS[1])
redis.call('ZADD', KEYS[2], '1', '1')
redis.call('XADD', KEYS[3], 'MAXLEN', '1', '*', 'a', '1')
redis.call('HSET', KEYS[4], 'a', '1')
redis.call('HGET', KEYS[4], 'a')
for each = 2, 4 do redis.call('PEXPIRE', KEYS[each], ARGV[1]) end
return 1

-- Store the verification id of an order, and the time of the order's next status query.
-- KEYS: the order, the set of orders to ask about.
-- ARGV: the verification id, milliseconds to keep both keys, the order's id, time of the query, time before which orders
--       are removed from the set because they are too old. Times are in milliseconds since 1970.
-- Returns 1, which means nothing.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1

-- Remember a text that looks like a call, and that its sender sent one.
-- KEYS: that any came, that this one came. ARGV: milliseconds to keep them.
-- Returns 1.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
return 1

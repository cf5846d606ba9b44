-- Show that a write is taken.
-- KEYS: the sign. ARGV: milliseconds to keep it.
-- Returns 1.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1

-- Mark that a number sent a text that looks like a call.
-- KEYS: the mark for any such text, the mark for this very text. ARGV: milliseconds to keep both.
-- Returns 1.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
return 1

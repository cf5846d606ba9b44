-- Remember a text that looks like a call, and that its sender sent one.
-- KEYS: that any came, that this one came. ARGV: milliseconds to keep them.
-- Returns 1.
for _, key in ipairs(KEYS) do redis.call('SET', key, '1', 'PX', ARGV[1]) end
return 1

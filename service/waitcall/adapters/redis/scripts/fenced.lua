-- Write a value, if the caller's term is still the leading one.
-- KEYS: the lease, the value. ARGV: the term in the lease's form, new value, milliseconds to keep it.
-- Returns 1 if written, 0 if the term has ended.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1

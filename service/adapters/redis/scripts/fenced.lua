-- Write a value for the leader, and for nobody else.
-- KEYS: the lease, the value. ARGV: the term as the lease holds it, new value, milliseconds to keep it.
-- Returns 1 when written, 0 when the term is over.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1

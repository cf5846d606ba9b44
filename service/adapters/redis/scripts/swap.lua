-- Replace a value, if it is still the one that was seen; an empty new value deletes it.
-- KEYS: the value. ARGV: value seen, new value, milliseconds to keep it.
-- Returns 1 when swapped, 0 when it was another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1

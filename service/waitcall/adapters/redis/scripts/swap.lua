-- Replace or delete a value, if it is still the one that was read.
-- KEYS: the value. ARGV: value that was read, new value (empty: delete it), milliseconds to keep it.
-- Returns 1 if replaced or deleted, 0 if the value has changed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1

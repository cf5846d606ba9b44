-- Delete a reserved record, and point the number to the verification before it again.
-- KEYS: the number's pointer to its latest record, the record.
-- ARGV: verification id of the record, verification id before it (empty: none), milliseconds to keep the pointer to that.
-- Returns 1 or 0, which mean nothing.
redis.call('DEL', KEYS[2])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1

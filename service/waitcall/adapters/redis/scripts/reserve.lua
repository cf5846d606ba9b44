-- Store a new record and point its number to it, if the number still points to the verification that was read.
-- KEYS: the number's pointer to its latest record, the new record.
-- ARGV: verification id that was read (empty: none), new verification id, document, milliseconds to keep both keys.
-- Returns 1 if reserved, 2 if this reservation was made before and its answer lost, 0 if another one came first.
local latest
if ARGV[1] == '' then
  latest = redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4], 'NX', 'GET')
else
  latest = redis.call('GET', KEYS[1])
end
if latest == ARGV[2] then return 2 end
if (latest or '') ~= ARGV[1] then return 0 end
if latest then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4]) end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1

-- Point a number to a new verification, if it still points to the one that was seen, and store the record.
-- KEYS: the number's latest, the new record.
-- ARGV: id seen (empty for none), new id, document, milliseconds to keep both.
-- Returns 1 when reserved, 2 when this very reservation was made before, 0 when somebody else was faster.
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

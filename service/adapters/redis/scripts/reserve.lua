-- Point a number to a new verification, if it still points to the one that was seen, and store the record.
-- KEYS: the number's latest, the new record.
-- ARGV: id seen (empty for none), new id, document, milliseconds to keep both.
-- Returns 1 when reserved, 2 when this very reservation was made before, 0 when somebody else was faster.
local latest = redis.call('GET', KEYS[1]) or ''
if latest == ARGV[2] then return 2 end
if latest ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1

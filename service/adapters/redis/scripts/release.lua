-- Undo a reservation that came to nothing, and point the number to the verification before it again.
-- KEYS: the number's latest, the record.
-- ARGV: id of the record, id before it (empty for none), milliseconds to keep the pointer to that.
-- Returns nothing of interest.
redis.call('DEL', KEYS[2])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1

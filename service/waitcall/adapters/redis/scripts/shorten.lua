-- Limit the time for which a value is kept, if it is still the one that was read.
-- KEYS: the value. ARGV: value that was read, longest time to keep it in milliseconds.
-- Returns the milliseconds that are left; 0 if the value has changed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local left, most = redis.call('PTTL', KEYS[1]), tonumber(ARGV[2])
if left >= 0 and left <= most then return left end
redis.call('PEXPIRE', KEYS[1], most)
return most

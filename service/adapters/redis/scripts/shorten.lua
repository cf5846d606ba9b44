-- Let a value that is still the one that was seen end soon. One that ends earlier is left alone.
-- KEYS: the value. ARGV: value seen, the most milliseconds to keep it.
-- Returns the milliseconds that are left, 0 where it was another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local left, most = redis.call('PTTL', KEYS[1]), tonumber(ARGV[2])
if left >= 0 and left <= most then return left end
redis.call('PEXPIRE', KEYS[1], most)
return most

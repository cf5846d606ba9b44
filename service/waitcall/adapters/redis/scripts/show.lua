-- Choose the first of some numbers that a subscriber was not shown lately, and remember that it is shown now.
-- KEYS: the numbers that the subscriber was shown, a sorted set by the time until which they are not shown again.
-- ARGV: the time now, the time until which the chosen one is not shown again, milliseconds to keep the set, the numbers in the
--       order of preference. Times are in milliseconds since 1970.
-- Returns the number and 0; if all were shown lately, an empty string and the earliest time at which one is free again.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local earliest
for each = 4, #ARGV do
  local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[each])
  if not until_ms then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[each])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return {ARGV[each], 0}
  end
  earliest = math.min(earliest or until_ms, until_ms)
end
return {'', earliest}

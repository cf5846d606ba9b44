-- Set new times for members of a sorted set, or remove them, unless they have got a later time since they were read.
-- KEYS: the set.
-- ARGV: time at which the members were due when they were read, milliseconds to keep the set; then each member and its new
--       time (empty: remove it). Times are in milliseconds since 1970.
-- Returns 1 or 0, which mean nothing.
for each = 3, #ARGV, 2 do
  local at = redis.call('ZSCORE', KEYS[1], ARGV[each])
  if at and tonumber(at) <= tonumber(ARGV[1]) then
    if ARGV[each + 1] == '' then
      redis.call('ZREM', KEYS[1], ARGV[each])
    else
      redis.call('ZADD', KEYS[1], ARGV[each + 1], ARGV[each])
    end
  end
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])

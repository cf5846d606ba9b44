-- Put members of a sorted set off, or take them out, if they are still as due as when they were seen.
-- KEYS: the set. ARGV: the instant of seeing, milliseconds to keep the set; then each member and its next instant (empty:
-- out with it).
-- Returns nothing of interest.
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

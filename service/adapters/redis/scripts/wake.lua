-- Give back what was to be tried again by now.
-- KEYS: those to be retried, the deliveries. ARGV: now in milliseconds, how many at most, milliseconds to keep.
-- Returns how many.
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, each in ipairs(due) do
  redis.call('XADD', KEYS[2], '*', 'd', each)
  redis.call('ZREM', KEYS[1], each)
end
if #due > 0 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return #due

-- Move deliveries whose time to retry has come back to the stream.
-- KEYS: the retries, the deliveries.
-- ARGV: the time now in milliseconds since 1970, most deliveries to move, milliseconds to keep the idle stream.
-- Returns the number of deliveries moved.
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, each in ipairs(due) do
  redis.call('XADD', KEYS[2], '*', 'd', each)
  redis.call('ZREM', KEYS[1], each)
end
if #due > 0 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return #due

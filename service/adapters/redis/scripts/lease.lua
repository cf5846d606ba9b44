-- Take the lease, or renew it. A new term counts the fence up.
-- KEYS: the lease, the fence. ARGV: who asks, milliseconds of the lease, milliseconds to keep the fence.
-- Returns the fence of our term, 0 while another leads.
local held = redis.call('GET', KEYS[1])
if held then
  local fence = string.match(held, '^(%d+):')
  if held ~= fence .. ':' .. ARGV[1] then return 0 end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(fence)
end
local fence = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], fence .. ':' .. ARGV[1], 'PX', ARGV[2])
return fence

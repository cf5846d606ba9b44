-- Take the lease, or renew it. A new term counts the fence up.
-- KEYS: the lease, the fence. ARGV: who asks, milliseconds of the lease, milliseconds to keep the fence, a fence higher
-- than any term's, for where the fence cannot be read.
-- Returns the fence of our term, 0 while another leads; and 1 where the lease or the fence could not be read, else 0.
local held, unreadable = redis.call('GET', KEYS[1]), 0
local fence = held and string.match(held, '^(%d+):')
if held and not fence then
  -- Whoever wrote it keeps it up, else it is over as soon as any lease.
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return {0, 1}
end
if held and held ~= fence .. ':' .. ARGV[1] then return {0, 0} end
if not held then
  fence = redis.pcall('INCR', KEYS[2])
  if type(fence) == 'table' then
    fence, unreadable = ARGV[4], 1
    redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
redis.call('SET', KEYS[1], fence .. ':' .. ARGV[1], 'PX', ARGV[2])
return {tonumber(fence), unreadable}

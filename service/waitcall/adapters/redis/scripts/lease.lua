-- Take the lease or renew it. A new term increases the fence.
-- KEYS: the lease, the fence.
-- ARGV: name of the caller, length of the lease in milliseconds, milliseconds to keep the fence, a number higher than the
--       fence of any term, which is used if the stored fence cannot be read.
-- Returns two numbers: the fence of the caller's term, or 0 while another leads; and 1 if the lease or the fence could not
-- be read, else 0.
local held, unreadable = redis.call('GET', KEYS[1]), 0
local fence = held and string.match(held, '^(%d+):')
if held and not fence then
  -- If nobody renews the unreadable lease, let it end as soon as any other.
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

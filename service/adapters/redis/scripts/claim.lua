-- Use a call, once, and store the change that it makes to a record: both or neither.
-- KEYS: the mark of the call's use, the record, the number's latest.
-- ARGV: token of this use, milliseconds to keep the mark, document read (empty if no record changes),
--       document to store, milliseconds to keep it, id.
-- Returns 'done', 'again' when this very use was made before, 'repeated', or 'conflict'.
local used = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX', 'GET')
if used then
  -- A write, so that WAIT has something to wait for: who asks again may have got no answer for want of replicas.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return used == ARGV[1] and 'again' or 'repeated'
end
if ARGV[3] ~= '' then
  if redis.call('GET', KEYS[2]) ~= ARGV[3] then
    redis.call('DEL', KEYS[1])
    return 'conflict'
  end
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
  redis.pcall('SPUBLISH', KEYS[2], '')
  if redis.call('GET', KEYS[3]) == ARGV[6] then redis.call('PEXPIRE', KEYS[3], ARGV[5]) end
end
return 'done'

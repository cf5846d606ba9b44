-- Mark a call as used, unless it was used before, and store the change that it makes to a record: both or neither.
-- A report that the caller's network vouches for may use a call again whose earlier report was weak. It must change the
-- verification that was the number's latest one at that report, which the mark names.
-- KEYS: the mark of the used call, the record, the number's pointer to its latest record.
-- ARGV: token of this use, milliseconds to keep the mark, document that was read (empty if no record changes),
--       document to store, milliseconds to keep it, verification id,
--       strength of the report: 'weak' or 'full'; empty if there is only one report of the call.
-- Returns 'done'; 'again' if this use was made before and its answer lost; 'repeated' if the call was used before;
-- 'conflict' if the record is no longer the document that was read.
local used = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX', 'GET')
local stronger = used and ARGV[7] == 'full' and ARGV[3] ~= '' and used:match(' (.*)') == ARGV[6]
if used and not stronger then
  -- Write something, so that WAIT has a write to wait for: the first use may have failed for want of replicas.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return used:match('^%S+') == ARGV[1] and 'again' or 'repeated'
end
if ARGV[3] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[3] then
  if not used then redis.call('DEL', KEYS[1]) end
  return 'conflict'
end
if used then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
local latest = ARGV[7] == 'weak' and redis.call('GET', KEYS[3])
if latest then redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. latest, 'PX', ARGV[2]) end
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
  redis.pcall('SPUBLISH', KEYS[2], '')
  if redis.call('GET', KEYS[3]) == ARGV[6] then redis.call('PEXPIRE', KEYS[3], ARGV[5]) end
end
return 'done'

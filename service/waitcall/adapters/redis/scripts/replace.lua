-- Store a changed record, if it is still the document that was read, and wake the requests that wait for it.
-- KEYS: the record, the number's pointer to its latest record.
-- ARGV: document that was read, document to store, milliseconds to keep it, verification id, '1' if the number must still
--       point to it, '1' if requests may wait for it.
-- Returns 1 if stored; 0 if another change came first; 2 if this very document was stored before and its answer lost. Then
-- the time to keep it is set again, because a WAIT that follows needs a write.
local stored = redis.call('GET', KEYS[1])
if stored == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 2
end
if stored ~= ARGV[1] then return 0 end
local holding = redis.call('GET', KEYS[2]) == ARGV[4]
if ARGV[5] == '1' and not holding then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[6] == '1' then redis.pcall('SPUBLISH', KEYS[1], '') end
if holding then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return 1

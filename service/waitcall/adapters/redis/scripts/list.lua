-- Put an entry into the lists or remove one, and change 'rev', which tells every process that its copy is old.
-- KEYS: the lists, a hash of subjects to entries, with the field 'rev' beside them.
-- ARGV: the subject's field, the entry (empty: remove it), the new rev, milliseconds to keep the entry, most entries.
-- Returns 1 if done, 0 if there was no entry to remove, -1 if the lists are full.
local known = redis.call('HEXISTS', KEYS[1], ARGV[1])
if ARGV[2] == '' then
  if known == 0 then return 0 end
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  if known == 0 and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5]) then return -1 end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('HSET', KEYS[1], 'rev', ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1

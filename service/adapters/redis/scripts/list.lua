-- Put an entry into the lists, or take it out, and mark the change for every process that holds a copy.
-- KEYS: the lists, a hash of subjects to entries, with 'rev' among them.
-- ARGV: the subject's field, the entry (empty to take it out), the new rev, milliseconds to keep it, most entries.
-- Returns 1 when done, 0 when there was nothing to take out, -1 when the lists are full.
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

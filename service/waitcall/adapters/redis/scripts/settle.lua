-- Remove a delivery from its stream. If it was not accepted, keep it for a retry or as a dead letter; a dead letter is
-- dropped if there are too many.
-- KEYS: the deliveries, the retries, the dead letters.
-- ARGV: the consumer group, the entry's id, milliseconds to keep idle keys, the delivery (empty: it was accepted), time of
--       the retry in milliseconds since 1970 (empty: no retry), its name among the dead letters, most dead letters to keep.
-- Returns 1, 2 if a dead letter was dropped, or 0 if another worker has settled the delivery.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return 0 end
if ARGV[4] == '' then return 1 end
if ARGV[5] ~= '' then
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
elseif redis.call('HLEN', KEYS[3]) < tonumber(ARGV[7]) then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
else
  return 2
end
return 1
